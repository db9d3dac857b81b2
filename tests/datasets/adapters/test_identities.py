import os
from pathlib import Path

import pytest
from miniature_people import IMAGES, VIEW2, make_lfw

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.pairs import crossing_folds, open_pairs, people_in
from fer_repro.datasets.prepare import fitting_tasks
from fer_repro.errors import UserError


@pytest.fixture
def people(tmp_path):
    folder = make_lfw(tmp_path / "raw" / "people", colour=False)
    for file in folder.glob("*.txt"):
        file.unlink()
    return folder


def add(path, tmp_path):
    return add_dataset("identities", Path(path), tmp_path / "stores")


@pytest.mark.parametrize("above", [False, True])
def test_a_folder_without_list_gets_a_drawn_one(tmp_path, people, above):
    for person in ("Ivy_I", "Jo_J"):  # two folds need eight people with two images
        (people / person).mkdir()
        for file in (people / "Ann_A").glob("*_000[12].png"):
            (people / person / file.name).write_bytes(file.read_bytes()[:-1] + b"\x00")
    store = add(people.parent if above else people, tmp_path)
    assert store.images.shape == (sum(IMAGES.values()) + 4, 8, 6)
    pairs = open_pairs(store)
    assert set(pairs["list"]) == {"drawn"}
    assert pairs["fold"].max() == 2
    assert crossing_folds(pairs, store.samples) == ()
    assert "were drawn (seed 0)" in store.manifest.note
    assert "All people with two images are tested" in store.manifest.note
    tested = set(people_in(pairs, store.samples))
    assert tested == set(store.samples.loc[store.samples["split"] == "test", "subject"])
    assert tested == {name for name, images in IMAGES.items() if images > 1} | {"Ivy_I", "Jo_J"}


def test_every_second_of_many_people_is_tested(tmp_path, people):
    for number in range(9):
        (people / f"P{number}").mkdir()
        for file in (people / "Ann_A").glob("*_000[123].png"):
            (people / f"P{number}" / file.name).write_bytes(file.read_bytes()[:-1] + bytes([number]))
    store = add(people, tmp_path)
    tested = people_in(open_pairs(store), store.samples)
    assert tested == ("Ann_A", "Cy_C", "Eve_E", "Hal_H", "P1", "P3", "P5", "P7")
    assert set(store.samples.loc[store.samples["split"] == "test", "subject"]) == set(tested)
    assert "Every second person is tested" in store.manifest.note
    assert fitting_tasks(store) == ("pairs",)


def test_too_few_people_have_no_pairs(tmp_path, people):
    store = add(people, tmp_path)
    assert open_pairs(store).empty
    assert "too few people" in store.manifest.note
    assert set(store.samples["split"]) == {"train"}
    assert "no pairs" in examine(store).text()


def test_a_list_decides_who_is_tested(tmp_path, people):
    (people / "pairs.txt").write_text(VIEW2)
    store = add(people, tmp_path)
    pairs = open_pairs(store)
    tested = store.samples.loc[store.samples["split"] == "test", "subject"]
    assert set(tested) == set(people_in(pairs, store.samples)) == {"Ann_A", "Bob_B", "Di_D", "Eve_E"}
    assert store.manifest.note == ""
    assert "official" not in examine(store).text()


def test_a_table_and_people_in_two_folds(tmp_path, people):
    rows = ["first,second,same,fold"]
    for fold in (1, 2):
        rows += [
            f"Ann_A/Ann_A_000{fold}.png,Ann_A/Ann_A_0003.png,1,{fold}",
            f"Ann_A/Ann_A_0001.png,Bob_B/Bob_B_000{fold}.png,0,{fold}",
        ]
    (people / "pairs.csv").write_text("\n".join(rows))
    store = add(people, tmp_path)
    assert "2 people are in more than one fold (Ann_A, Bob_B)" in store.manifest.note
    assert list(store.manifest.source)[1:] == ["list pairs.csv", "pairs.csv"]
    (people / "pairs.txt").write_text(VIEW2)
    with pytest.raises(UserError, match="expected one list of pairs"):
        add_dataset("identities", people, tmp_path / "stores", force=True)


def test_the_real_orl(tmp_path):
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    path = Path(folder) / "orl"
    if not folder or not path.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with orl/")
    store = add_dataset("identities-orl", path, tmp_path / "stores")
    assert store.images.shape == (400, 112, 92)
    assert len(store.classes) == 40
    assert set(store.samples["subject"].value_counts()) == {10}
    assert store.samples.loc[store.samples["subject"] == "s1", "number"].tolist() == list(range(1, 11))
    pairs = open_pairs(store)
    assert pairs.groupby(["fold", "same"]).size().to_dict() == {
        (fold, same): 180 for fold in range(1, 6) for same in (0, 1)
    }
    assert examine(store).facts["distinct_images"] == 400
    assert fitting_tasks(store) == ("pairs",)


def test_several_sets_and_other_sizes(tmp_path, people):
    store = add_dataset("identities-mine", people, tmp_path / "stores", size=4)
    assert store.manifest.name == "identities-mine"
    assert store.images.shape[1:] == (4, 4)
    assert "7 of them with two or more" in examine(store).text()
