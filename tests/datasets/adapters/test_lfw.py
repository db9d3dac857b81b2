import os
from pathlib import Path

import numpy as np
import pytest
from miniature_people import IMAGES, VIEW2, make_lfw
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.folds import identification_table
from fer_repro.datasets.pairs import choose_list, crossing_folds, open_pairs, people_in
from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError


@pytest.fixture
def lfw(tmp_path):
    return make_lfw(tmp_path / "raw" / "lfw")


def add(path, tmp_path):
    return add_dataset("lfw", Path(path), tmp_path / "stores")


def test_people_are_classes_and_lists_decide_the_split(tmp_path, lfw):
    store = add(lfw, tmp_path)
    assert store.classes == tuple(sorted(IMAGES))
    assert store.images.shape == (sum(IMAGES.values()), 8, 6, 3)
    assert store.samples["subject"].tolist() == [store.classes[label] for label in store.samples["label"]]
    train = store.samples[store.samples["split"] == "train"]
    assert set(train["subject"]) == {"Ann_A", "Cy_C"}
    row = store.samples[store.samples["file"] == "Di_D/Di_D_0003.png"].iloc[0]
    assert np.array_equal(store.images[row["image"]], np.asarray(Image.open(lfw / row["file"])))
    assert row["number"] == 3
    assert {"pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt", "pairs.csv"} < set(store.manifest.source)


def test_pairs_lie_beside_the_images_and_are_found_from_the_prepared_set(tmp_path, lfw):
    store = add(lfw, tmp_path)
    pairs = open_pairs(store)
    assert pairs.groupby("list", sort=False).size().to_dict() == {"view2": 8, "dev_train": 3, "dev_test": 4}
    prepared = prepare_dataset("lfw", store.folder / "manifest.json", tmp_path / "prepared" / "lfw")
    assert open_pairs(prepared).equals(pairs)
    assert not (prepared.folder / "pairs.csv").exists()
    (store.folder / "pairs.csv").write_text("changed")
    with pytest.raises(UserError, match="was changed after the set was written"):
        open_pairs(prepared)
    (store.folder / "pairs.csv").unlink()
    with pytest.raises(UserError, match=r"pairs\.csv: no such file; add data set 'lfw' again"):
        open_pairs(open_store(store.folder))


def test_other_pairs_are_another_set(tmp_path, lfw):
    digest = add(lfw, tmp_path).digest
    lists = lfw / "pairsDevTest.txt"
    lists.write_text(lists.read_text().replace("Gus_G\t1", "Hal_H\t2"))
    assert add_dataset("lfw", lfw, tmp_path / "stores", force=True).digest != digest


def test_the_doctor_names_every_difference(tmp_path, lfw):
    found = examine(add(lfw, tmp_path))
    assert "people: 8, official 5749 (-5741)" in found.differences
    assert "view2 pairs: 8, official 6000 (-5992)" in found.differences
    assert "people in view2 and dev train: 1, official 1689 (-1688)" in found.differences
    assert "view2 people crossing folds" not in " ".join(found.differences)
    text = found.text()
    assert "lfw: 19 images of 8 people, 7 of them with two or more" in text
    assert "labels: 0 Ann_A to 7 Hal_H" in text
    assert '"view2_folds": 2' in found.as_json()


def test_lists_beside_the_folder_and_lists_left_out(tmp_path, lfw):
    for file in lfw.glob("*.txt"):
        file.rename(lfw.parent / file.name)
    (lfw.parent / "pairsDevTrain.txt").unlink()
    for path in (lfw, lfw.parent):
        store = add_dataset("lfw", path, tmp_path / "stores", force=True)
        assert store.manifest.note == (
            "pairsDevTrain.txt not found: the set has no such list of pairs. Nobody is train."
        )
        assert set(store.samples["split"]) == {"test"}


def shrink(lfw):
    Image.new("RGB", (5, 5)).save(lfw / "Di_D" / "Di_D_0002.png")


BAD = {
    "no pairs": (lambda lfw: (lfw / "pairs.txt").unlink(), "pairs.txt is missing"),
    "image gone": (
        lambda lfw: (lfw / "Eve_E" / "Eve_E_0002.png").unlink(),
        r"pairs.txt: line 7: Eve_E has no image 2: expected one of 1$",
    ),
    "name": (
        lambda lfw: (lfw / "Cy_C" / "Cy_C_0002.png").rename(lfw / "Cy_C" / "Cy_C_2.png"),
        r"Cy_C_2.png: expected a name such as Cy_C_0001.jpg",
    ),
    "nobody there": (lambda lfw: (lfw / "Zoe_Z").mkdir(), "Zoe_Z: no images; expected at least one"),
    "size": (shrink, "Di_D_0002.png: 5 x 5 pixels"),
    "damaged": (
        lambda lfw: (lfw / "Di_D" / "Di_D_0002.png").write_bytes(b"x"),
        "Di_D_0002.png: not readable as an image",
    ),
    "list": (
        lambda lfw: (lfw / "pairs.txt").write_text(VIEW2.replace("Di_D\t1\t2", "Dy_D\t1\t2")),
        "pairs.txt: line 6: person 'Dy_D' is unknown; did you mean 'Di_D'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, lfw, case):
    damage, message = BAD[case]
    damage(lfw)
    with pytest.raises(UserError, match=message) as caught:
        add(lfw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(UserError, match="no such folder; expected a folder with one folder per person"):
        add(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images below it; expected <person>/<image>"):
        add(tmp_path / "empty", tmp_path)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    path = Path(folder) / "lfw"
    if not folder or not (path / "pairs.txt").is_file():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with lfw/pairs.txt")
    return add_dataset("lfw", path, tmp_path_factory.mktemp("real") / "stores")


def test_the_real_set_is_the_published_one(real):
    found = examine(real)
    assert found.differences == ()
    assert found.people == {"train": 2132, "val": 0, "test": 3617}
    assert len(real.images) == 13233
    assert found.facts["subjects_crossing"] == 0
    assert real.manifest.note == ""


def test_real_folds(real):
    view2 = choose_list(open_pairs(real), "view2")
    assert view2.groupby(["fold", "same"]).size().to_dict() == {
        (fold, same): 300 for fold in range(1, 11) for same in (0, 1)
    }
    assert crossing_folds(view2, real.samples) == ()


def test_real_development_people_overlap_view_2(real):
    """Training on all of them and testing on pairs.txt would test on people who were trained on."""
    pairs = open_pairs(real)
    train = set(people_in(choose_list(pairs, "dev_train"), real.samples))
    assert len(train) == 2132
    assert len(train & set(people_in(choose_list(pairs, "view2"), real.samples))) == 1689
    assert not train & set(people_in(choose_list(pairs, "dev_test"), real.samples))
    table, people = identification_table(real.samples)
    assert len(people) == 945
    assert set(people) <= train
    assert (table["split"] == "val").sum() == 528
