"""Files are whole or absent."""

import pytest

from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_folder, atomic_write, read_yaml


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["rows.csv"]


def test_a_finished_write_replaces_and_makes_parents(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_a_folder_is_not_replaced_without_force(tmp_path):
    folder = tmp_path / "store"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(UserError, match="exists already"), atomic_folder(folder):
        pass
    with pytest.raises(RuntimeError), atomic_folder(folder, force=True) as temporary:
        (temporary / "a").write_text("2")
        raise RuntimeError
    assert (folder / "a").read_text() == "1"
    with atomic_folder(folder, force=True) as temporary:
        (temporary / "a").write_text("3")
    assert (folder / "a").read_text() == "3"
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("+3", 3),
        ("010", 10),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("null", None),
        ("[1, 1e3]", [1, 1000.0]),
    ],
)
def test_yaml_means_what_it_looks_like(tmp_path, text, value):
    path = tmp_path / "p.yaml"
    path.write_text(f"key: {text}\n")
    read = read_yaml(path)["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["- a\n", "", "a: [1\n", "a: !!python/object:os.system x\n", "a: 1\na: 2\n", "\x00"]
)
def test_yaml_that_is_no_plain_mapping_is_refused(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"p\.yaml"):
        read_yaml(path)


def test_nearest():
    assert nearest("epoch", ["epochs", "lr"]) == "did you mean 'epochs'?"
    assert nearest("zzz", ["epochs", "lr"]) == "valid: epochs, lr"
