"""Classes of the user's own folders: spelt in two ways, empty, or tested and never learnt."""

import shutil
import unicodedata

import pytest
from miniature_sets import write_noise

from fer_repro.datasets.adding import add_dataset, examine


def classes_of(root, **parts):
    """Three images of noise in each class folder of each part."""
    for part, names in parts.items():
        for name in names:
            for number in range(3):
                write_noise(root / part / name / f"{number}.png", (8, 8), len(name) * 10 + number)
    return root


@pytest.mark.parametrize(
    ("learnt", "tested"),
    [
        ("Happy", "happy"),
        ("very happy", "veryhappy"),
        ("a b", "A  B"),
        ("Café", "CAFE\u0301"),
        ("ﬁne", "fine"),
    ],
)
def test_a_class_spelt_otherwise_in_train_is_refused(learnt, tested, tmp_path, tell):
    for part in ("val", "test"):
        root = classes_of(tmp_path / part, train=[learnt, "Sad"], val=[learnt, "Sad"], test=[learnt, "Sad"])
        shutil.rmtree(root / part / learnt)
        classes_of(root, **{part: [tested]})
        said = tell("data", "add", "folder-x", root, "--store", tmp_path / "stores")
        assert (
            f"class '{unicodedata.normalize('NFC', tested)}' of {part} has no training images; did you mean"
            in said
        )
        assert f"'{unicodedata.normalize('NFC', learnt)}'?" in said


FINDINGS = {
    "tested, not learnt": (
        {"train": ["a", "b"], "test": ["a", "b", "c"]},
        "class 'c' has no training images",
    ),
    "learnt, not tested": ({"train": ["a", "b"], "test": ["a"]}, "class 'b' has no test images"),
    "not in val": (
        {"train": ["a", "b"], "val": ["a"], "test": ["a", "b"]},
        "class 'b' has no val images",
    ),
    "spelt twice": (
        {"train": ["a", "A"], "val": ["a", "A"], "test": ["a", "A"]},
        "classes 'A' and 'a' differ only in capitals, blanks or Unicode form",
    ),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_the_doctor_finds_classes_that_cannot_be_learnt_or_tested(case, tmp_path, capsys, monkeypatch):
    parts, expected = FINDINGS[case]
    store = add_dataset("folder-x", classes_of(tmp_path / "raw", **parts), tmp_path / "stores")
    found = examine(store)
    assert [line for line in found.differences if line.startswith(expected)]
    assert expected in found.text()
    assert doctor(monkeypatch, tmp_path) == 1
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_class_folder_is_found(part, tmp_path, monkeypatch):
    root = classes_of(tmp_path / "raw", train=["a", "b"], val=["a", "b"], test=["a", "b"])
    for file in (root / part / "b").iterdir():
        file.unlink()
    (root / "train" / "c").mkdir()
    found = examine(add_dataset("folder-x", root, tmp_path / "stores")).differences
    kind = "training" if part == "train" else "test"
    assert any(line.startswith(f"class 'b' has no {kind} images") for line in found)
    assert "class 'c' has no images" in found
    assert doctor(monkeypatch, tmp_path) == 1


def test_a_set_whose_classes_are_all_there_has_no_finding(tmp_path, monkeypatch):
    root = classes_of(tmp_path / "raw", train=["a", "b"], val=["a", "b"], test=["a", "b"])
    assert examine(add_dataset("folder-x", root, tmp_path / "stores")).differences == ()
    assert doctor(monkeypatch, tmp_path) == 0


def test_people_spelt_twice_are_found(tmp_path):
    for name in ("Ann", "ann", "Bob"):
        write_noise(tmp_path / "raw" / name / "1.png", (8, 8), len(name))
    found = examine(add_dataset("identities", tmp_path / "raw", tmp_path / "stores"))
    assert "people 'Ann' and 'ann' differ only in capitals" in found.text()
    assert found.differences


def doctor(monkeypatch, tmp_path):
    from fer_repro import cli

    monkeypatch.setattr(
        "sys.argv", ["fer-repro", "data", "doctor", "folder-x", "--store", str(tmp_path / "stores")]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code
