"""Files are whole or absent."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fer_repro import files
from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_folder, atomic_write, keep_existing, natural_order, read_yaml

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
WRITER = """
import sys
from pathlib import Path
from fer_repro.files import atomic_folder, atomic_write
way, path = {"file": atomic_write, "folder": atomic_folder}[sys.argv[1]], Path(sys.argv[2])
with way(path) as temporary:
    if sys.argv[1] == "file":
        temporary.write_text("of the other")
    else:
        (temporary / "a").write_text("of the other")
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other():
    """Another process in the midst of writing; a line on its standard input lets it finish."""
    started = []

    def start(kind, path):
        command = [sys.executable, "-c", WRITER, kind, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "begun\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


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


@posix
def test_a_file_has_the_mode_of_the_umask(tmp_path):
    """Also where a library writes through a private file and renames it, or a killed process left one."""
    path, left = tmp_path / "rows.csv", tmp_path / ".rows.csv.tmp"
    left.touch(0o600)
    before = os.umask(0o027)
    try:
        with atomic_write(path) as temporary:
            private = tmp_path / "private"
            private.touch(0o600)
            private.replace(temporary)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


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


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_whole_under_its_name_until_the_new_one_takes_it(tmp_path, monkeypatch, can_exchange):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a").write_text("old")
    exchanged = []

    def exchange(first, second):
        exchanged.append((folder / "a").read_text())
        return can_exchange and swap(first, second)

    swap = files._exchange
    monkeypatch.setattr(files, "_exchange", exchange)
    with atomic_folder(folder, force=True) as temporary:
        (temporary / "a").write_text("new")
        assert (folder / "a").read_text() == "old"
    assert exchanged == ["old"]
    assert (folder / "a").read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2")
def test_two_names_are_exchanged_in_one_step(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    assert files._exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "name").read_text() == "two"
    assert (tmp_path / "two" / "name").read_text() == "one"
    assert not files._exchange(tmp_path / "one", tmp_path / "none")


def test_what_a_kill_between_two_renames_left_is_put_back(tmp_path):
    old = tmp_path / ".store.old"
    old.mkdir()
    (old / "a").write_text("of the user")
    with pytest.raises(UserError, match="exists already"), atomic_folder(tmp_path / "store"):
        pass
    assert (tmp_path / "store" / "a").read_text() == "of the user"


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path):
    folder = tmp_path / "store"
    with pytest.raises(UserError, match="exists already"), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
        folder.mkdir()
        (folder / "a").write_text("of the user")
    assert (folder / "a").read_text() == "of the user"
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("of the user")
    (tmp_path / "store").symlink_to("disk", target_is_directory=True)
    with atomic_folder(tmp_path / "store", force=True) as temporary:
        (temporary / "a").write_text("new")
    assert (tmp_path / "store" / "a").read_text() == "new"
    assert (tmp_path / "disk" / "a").read_text() == "of the user"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["disk", "store"]


@posix
def test_a_folder_that_another_process_writes_is_left_to_it(tmp_path, other):
    folder = tmp_path / "store"
    process = other("folder", folder)
    with pytest.raises(UserError, match="is being written by another process"), atomic_folder(folder):
        pass
    process.communicate("\n")
    assert process.returncode == 0
    assert (folder / "a").read_text() == "of the other"
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


@posix
def test_who_replaces_a_folder_waits_for_the_other(tmp_path, other, capsys):
    folder = tmp_path / "store"
    process = other("folder", folder)
    threading.Timer(0.5, process.stdin.close).start()  # lets it finish
    with atomic_folder(folder, force=True) as temporary:
        assert (folder / "a").read_text() == "of the other"
        (temporary / "a").write_text("mine")
    assert (folder / "a").read_text() == "mine"
    assert capsys.readouterr().err == f"{folder} is being written by another process; waiting for its end\n"
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


@posix
def test_two_processes_write_a_file_one_after_the_other(tmp_path, other):
    path = tmp_path / "rows.csv"
    process = other("file", path)
    threading.Timer(0.5, process.stdin.close).start()  # lets it finish
    with atomic_write(path) as temporary:
        assert path.read_text() == "of the other"
        temporary.write_text("mine")
    assert path.read_text() == "mine"
    assert [item.name for item in tmp_path.iterdir()] == ["rows.csv"]


@posix
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_lock_of_a_killed_process_locks_nothing(tmp_path, other, kind):
    path = tmp_path / "x"
    process = other(kind, path)
    process.kill()
    process.wait()
    assert not path.exists()
    way = {"file": atomic_write, "folder": atomic_folder}[kind]
    with way(path) as temporary:
        (temporary if kind == "file" else temporary / "a").write_text("mine")
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


def test_what_exists_is_kept_unless_the_user_says_otherwise(tmp_path):
    there, dangling = tmp_path / "there.csv", tmp_path / "link.csv"
    there.touch()
    dangling.symlink_to("nowhere")
    keep_existing([tmp_path / "new.csv"])
    keep_existing([there], force=True)
    for path in (there, dangling):
        with pytest.raises(UserError, match=f"{path.name} exists already; nothing was changed"):
            keep_existing([tmp_path / "new.csv", path])


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


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.png", "2.png", "10.png", "100.png"],
        ["a1b2.png", "a1b10.png", "a2b1.png", "a10b1.png"],
        ["1", "01", "2"],
        ["clip 2/frame 1", "clip 2/frame 10", "clip 10/frame 1"],
        ["a", "a1", "b"],
        ["\u00b2.png", "\u0663.png"],  # digits that int() knows or does not: letters here
        ["1" * 4999 + "1", "1" * 4999 + "2"],
    ],
)
def test_numbers_in_names_are_sorted_by_value(ordered):
    paths = [Path(name) for name in ordered]
    shuffled = [*reversed(paths)]
    assert sorted(shuffled, key=natural_order) == paths


def test_a_changed_copy_of_yaml_stays_ones_own(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("key: [1, {inner: 2}]\n", encoding="utf-8")
    read_yaml(path)["key"][1]["inner"] = 3
    assert read_yaml(path) == {"key": [1, {"inner": 2}]}
    path.write_text("key: 4\n", encoding="utf-8")
    assert read_yaml(path) == {"key": 4}
