import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.samples import check_samples, read_samples, samples_csv
from fer_repro.datasets.store import open_store, store_writer, view_writer, write_store
from fer_repro.errors import UserError

CLASSES = ("angry", "happy")


def table(n=4, **columns):
    samples = pd.DataFrame(
        {
            "image": range(n),
            "label": [row % 2 for row in range(n)],
            "subject": ["007", "", "1e5", "NA"][:n],
            "clip": [""] * n,
            "split": ["train", "train", "val", "test"][:n],
        }
    )
    return samples.assign(**columns)


def faces(n=4, *size):
    return np.arange(n * int(np.prod(size or (3, 5)))).astype(np.uint8).reshape(n, *(size or (3, 5)))


@pytest.fixture
def folder(tmp_path):
    write_store(
        tmp_path / "set", "toy", CLASSES, faces(), table(yaw=0.1, dark=True), {"raw.csv": "00"}, "a note"
    )
    return tmp_path / "set"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_round_trip_keeps_types(folder):
    store = open_store(folder, verify=True)
    assert store.classes == CLASSES
    assert store.manifest.note == "a note"
    assert isinstance(store.images, np.memmap)
    assert not store.images.flags.writeable
    assert np.array_equal(store.images, faces())
    assert store.samples["subject"].tolist() == ["007", "", "1e5", "NA"]
    assert store.samples["dark"].dtype == bool
    assert store.samples["yaw"].dtype == float
    assert list(store.samples.columns) == ["image", "label", "subject", "clip", "split", "dark", "yaw"]


def test_colour_images(tmp_path):
    store = write_store(tmp_path / "set", "toy", CLASSES, faces(4, 3, 5, 3), table(), {})
    assert store.manifest.channels == 3
    assert store.images.shape == (4, 3, 5, 3)


def test_files_are_byte_stable_and_column_order_does_not_matter(folder, tmp_path):
    mixed = table(dark=True, yaw=0.1)[["yaw", "split", "clip", "image", "dark", "label", "subject"]]
    other = write_store(tmp_path / "b", "toy", CLASSES, faces(), mixed, {"raw.csv": "00"}, "a note")
    for file in ("images.npy", "samples.csv", "manifest.json"):
        assert (folder / file).read_bytes() == (other.folder / file).read_bytes()
    assert open_store(folder).digest == other.digest


def test_the_table_survives_reading_and_writing(tmp_path):
    samples = check_samples(table(note=["a,b", 'c"d', "", "e"]), CLASSES, 4, "x")
    (tmp_path / "samples.csv").write_bytes(samples_csv(samples))
    again = read_samples(tmp_path / "samples.csv", CLASSES, 4)
    pd.testing.assert_frame_equal(samples, again)
    assert samples_csv(again) == samples_csv(samples)


def test_chunks_give_the_same_file_as_one_array(folder, tmp_path):
    with store_writer(tmp_path / "b", "toy", CLASSES) as writer:
        for image in faces():
            writer.append(image[None])
        writer.finish(table(), {})
    assert (tmp_path / "b" / "images.npy").read_bytes() == (folder / "images.npy").read_bytes()


def test_an_existing_set_stays_without_force(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="exists already; nothing was changed"):
        write_store(folder, "toy", CLASSES, faces(), table(), {})
    assert (folder / "manifest.json").read_bytes() == before


def test_a_failed_write_leaves_the_old_set(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="label is 2"):
        write_store(folder, "toy", CLASSES, faces(), table(label=2), {}, force=True)
    with pytest.raises(KeyboardInterrupt), store_writer(folder, "toy", CLASSES, force=True) as writer:
        writer.append(faces())
        raise KeyboardInterrupt
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def test_force_replaces(folder):
    store = write_store(folder, "toy", CLASSES, faces(3), table(3), {}, force=True)
    assert store.manifest.count == 3
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"label": [0, 1, 2, 0]},
            r"samples.csv: row 2 \(line 4\): label is 2: expected 0 to 1 \(angry, happy\)",
        ),
        ({"label": [0, -1, 1, 0]}, r"row 1 \(line 3\): label is -1"),
        ({"label": [0, 1, 0.5, 0]}, r"row 2 \(line 4\): label is 0.5"),
        ({"image": [0, 1, 2, 4]}, r"row 3 \(line 5\): image is 4: expected 0 to 3"),
        (
            {"split": ["train", "vall", "test", "test"]},
            r"row 1 \(line 3\): split is 'vall'; did you mean 'val'\?",
        ),
        ({"subject": [1, 2, 3, 4]}, r"row 0 \(line 2\): subject is 1: expected text"),
        ({"yaw": [0.0, None, 1.0, 2.0]}, r"row 1 \(line 3\): yaw is nan: expected a value"),
    ],
)
def test_bad_tables_are_refused(tmp_path, columns, message):
    with pytest.raises(UserError, match=message):
        write_store(tmp_path / "set", "toy", CLASSES, faces(), table(**columns), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 3, 5)), "found float64"),
        (np.zeros((4, 3, 5, 2), np.uint8), r"found uint8 \(4, 3, 5, 2\)"),
        (np.zeros((0, 3, 5), np.uint8), "none; expected at least one"),
    ],
)
def test_bad_images_are_refused(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        write_store(tmp_path / "set", "toy", CLASSES, images, table(), {})
    assert not list(tmp_path.iterdir())


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(UserError, match="image 4 is"), store_writer(tmp_path / "s", "toy", CLASSES) as writer:
        writer.append(faces())
        writer.append(faces(2, 4, 5))


def test_shared_images_are_allowed(tmp_path):
    store = write_store(tmp_path / "set", "toy", CLASSES, faces(), table(image=[0, 0, 1, 3]), {})
    assert store.samples["image"].tolist() == [0, 0, 1, 3]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("images.npy", lambda path: path.unlink(), "images.npy: no such file"),
        (
            "images.npy",
            lambda path: path.write_bytes(path.read_bytes()[:-7]),
            "images.npy: not readable .* cut off",
        ),
        ("images.npy", lambda path: path.write_bytes(b""), "images.npy: not readable"),
        (
            "images.npy",
            lambda path: np.save(path, faces(3)),
            r"holds uint8 \(3, 3, 5\): .* records uint8 \(4, 3, 5\)",
        ),
        ("images.npy", lambda path: np.save(path, faces() / 2), "holds float64"),
        ("samples.csv", lambda path: path.unlink(), "samples.csv: no such file"),
        ("samples.csv", lambda path: path.write_text(""), "samples.csv: not readable as CSV"),
        ("samples.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "samples.csv: not readable as CSV"),
        ("samples.csv", lambda path: edit(path, "image", "img"), "column 'image' is missing"),
        (
            "samples.csv",
            lambda path: edit(path, "\n2,0", "\n2,"),
            r"samples.csv: row 2 \(line 4\): label is ''",
        ),
        ("samples.csv", lambda path: edit(path, "\n2,0", "\n2,7"), r"row 2 \(line 4\): label is '7'"),
        ("samples.csv", lambda path: edit(path, "\n2,0", "\n9,0"), r"row 2 \(line 4\): image is '9'"),
        ("samples.csv", lambda path: edit(path, ",val,", ",valid,"), "split is 'valid'; did you mean 'val'"),
        (
            "samples.csv",
            lambda path: edit(path, "\n2,0", "\n2,1"),
            "sha256 is .* changed after the set was written",
        ),
        ("manifest.json", lambda path: path.unlink(), "manifest.json: no such file"),
        ("manifest.json", lambda path: path.write_text("{"), "manifest.json: not readable as JSON"),
        ("manifest.json", lambda path: path.write_text("[]"), "expected a mapping"),
        (
            "manifest.json",
            lambda path: edit(path, '"count"', '"counts"'),
            "unknown key 'counts'; did you mean 'count'",
        ),
        (
            "manifest.json",
            lambda path: edit(path, '"images.npy"', '"/tmp/images.npy"'),
            "expected a path relative",
        ),
    ],
)
def test_damaged_sets_are_one_clear_error(folder, file, damage, message):
    damage(folder / file)
    with pytest.raises(UserError, match=message) as caught:
        open_store(folder)
    assert "\n" not in str(caught.value)


def test_verify_reads_the_pixels(folder):
    pixels = bytearray((folder / "images.npy").read_bytes())
    pixels[-1] ^= 1
    (folder / "images.npy").write_bytes(pixels)
    open_store(folder)
    with pytest.raises(UserError, match=r"images.npy: sha256 is"):
        open_store(folder, verify=True)


def test_a_view_shares_the_images(folder, tmp_path):
    target = tmp_path / "prepared" / "toy"
    with view_writer(target, open_store(folder), table(extra=1)[:3]) as temporary:
        (temporary / "audit.json").write_text("{}")
    view = open_store(target, verify=True)
    assert json.loads((target / "manifest.json").read_text())["images"]["file"] == "../../set/images.npy"
    assert sorted(path.name for path in target.iterdir()) == ["audit.json", "manifest.json", "samples.csv"]
    assert np.array_equal(view.images, faces())
    assert len(view.samples) == 3
    shutil.move(tmp_path / "set", tmp_path / "gone")
    with pytest.raises(UserError, match=r"no such file; .* expects the images there"):
        open_store(target)


def test_a_view_notices_that_the_images_were_replaced(folder, tmp_path):
    with view_writer(tmp_path / "prepared" / "toy", open_store(folder), table()):
        pass
    write_store(folder, "toy", CLASSES, faces() + 1, table(), {}, force=True)
    with pytest.raises(UserError, match="the images were replaced since, prepare the set again"):
        open_store(tmp_path / "prepared" / "toy")


def test_a_view_notices_that_the_samples_were_replaced(folder, tmp_path):
    with view_writer(tmp_path / "prepared" / "toy", open_store(folder), table()):
        pass
    open_store(tmp_path / "prepared" / "toy")
    labels = table()["label"].to_numpy()[::-1]
    write_store(folder, "toy", CLASSES, faces(), table(label=labels), {}, force=True)
    with pytest.raises(
        UserError, match=r"set/samples\.csv: the samples were replaced since .*prepare the set again"
    ):
        open_store(tmp_path / "prepared" / "toy")


def test_memory_stays_flat(tmp_path):
    """Forty times the images must not need more memory than a few chunks."""
    resource = pytest.importorskip("resource")
    chunk = np.zeros((256, 64, 64), np.uint8)  # 1 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with store_writer(tmp_path / "set", "toy", CLASSES) as writer:
        for _ in range(400):
            writer.append(chunk)
        writer.finish(table(), {})
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB on Linux
    assert (tmp_path / "set" / "images.npy").stat().st_size > 400 * 2**20
    assert grown < 64 * 1024


def sequences(n=4, rows=6, columns=3):
    return np.linspace(-5, 5, n * rows * columns).astype(np.float16).reshape(n, rows, columns)


def test_sequences_are_stored_as_they_are(tmp_path):
    values = sequences()
    store = write_store(tmp_path / "set", "toy", ("0", "0.5"), values, table(), {})
    assert store.has_sequences
    assert store.images.dtype == np.float16
    np.testing.assert_array_equal(store.images, values)
    assert open_store(tmp_path / "set", verify=True).manifest.shape == (4, 6, 3)
    assert '"numbers": "float16"' in (tmp_path / "set/manifest.json").read_text()


def test_a_view_of_sequences_keeps_what_they_are(tmp_path):
    store = write_store(tmp_path / "set", "toy", ("0", "0.5"), sequences(), table(), {})
    with view_writer(tmp_path / "view", store, store.samples):
        pass
    assert open_store(tmp_path / "view").has_sequences


def test_manifests_of_images_do_not_name_their_numbers(folder):
    assert "numbers" not in json.loads((folder / "manifest.json").read_text())
    assert not open_store(folder).has_sequences


def test_images_and_sequences_are_not_mixed(tmp_path):
    with pytest.raises(UserError, match="image 4 is"), store_writer(tmp_path / "a", "toy", CLASSES) as writer:
        writer.append(faces())
        writer.append(sequences(4, 3, 5))
    with (
        pytest.raises(UserError, match="sequence 5 holds a number that is not finite"),
        store_writer(tmp_path / "b", "toy", CLASSES) as writer,
    ):
        writer.append(sequences())
        writer.append(np.where(np.arange(4)[:, None, None] == 1, np.inf, sequences()).astype(np.float16))
    with (
        pytest.raises(UserError, match="found float64"),
        store_writer(tmp_path / "c", "toy", CLASSES) as writer,
    ):
        writer.append(sequences().astype(float))


def test_a_manifest_that_names_other_numbers_is_refused(tmp_path):
    write_store(tmp_path / "set", "toy", ("0", "0.5"), sequences(), table(), {})
    edit(tmp_path / "set/manifest.json", '"numbers": "float16",', "")
    with pytest.raises(UserError, match="holds float16"):
        open_store(tmp_path / "set")
