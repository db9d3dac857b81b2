import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_repro.errors import UserError
from fer_repro.synthetic.factors import CLASSES
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import STILLS_COLUMNS, read_stills, sample_stills, stills_main, write_stills

EMBEDDED = Path(__file__).parents[2] / "data" / "synthetic"
FEW = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stills") / "few"
    write_stills(path, 3, FEW, 1)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_the_default_table_is_balanced_and_subjects_stay_in_one_split():
    table = sample_stills(0)
    assert tuple(table.columns) == STILLS_COLUMNS
    assert len(table) == 2100
    assert table.groupby("subject")["split"].nunique().max() == 1
    assert table.groupby("split")["subject"].nunique().to_dict() == {"train": 100, "val": 20, "test": 30}
    assert table.groupby(["split", "label"]).size().groupby("split").nunique().max() == 1
    assert 0.2 < (table["occluder"] != "none").mean() < 0.32
    assert table["image"].tolist() == list(range(2100))
    assert (table.loc[table["label"] == CLASSES.index("neutral"), "intensity"] == 0).all()


def test_identity_is_constant_within_a_subject():
    table = sample_stills(1, FEW, 2)
    assert (
        table.groupby("subject")[["skin_tone", "hair_style", "nose_length", "texture"]].nunique().max().max()
        == 1
    )


def test_seeds_decide():
    assert sample_stills(4, FEW, 1).equals(sample_stills(4, FEW, 1))
    assert not sample_stills(4, FEW, 1).equals(sample_stills(5, FEW, 1))


def test_written_stills_read_back_and_draw_the_same(folder):
    images, table, manifest = read_stills(folder)
    assert images.shape == (28, 48, 48)
    assert manifest["counts"]["train"] == dict.fromkeys(CLASSES, 2)
    assert np.array_equal(images, render(table, 48).images)


def test_writing_twice_gives_the_same_bytes(folder, tmp_path):
    write_stills(tmp_path / "again", 3, FEW, 1)
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_an_existing_folder_is_kept(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write_stills(folder, 4, FEW, 1)
    assert stills_main([str(folder), "--seed", "0"]) == 2
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("arguments", [(-1, FEW, 1), (0, FEW, 0), (0, {}, 1)])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(UserError, match="expected a seed from 0"):
        sample_stills(*arguments)


def change_manifest(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest.update(changes)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_missing_and_changed_files_are_named(copy):
    strip = copy / "stills_000.png"
    pixels = np.asarray(Image.open(strip)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(strip)
    with pytest.raises(UserError, match=r"stills_000\.png is not the file"):
        read_stills(copy)
    strip.unlink()
    with pytest.raises(UserError, match=r"stills_000\.png is missing"):
        read_stills(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        read_stills(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"run `dvc pull data\.dvc`"):
        read_stills(copy)


def test_broken_manifests_are_named(copy):
    change_manifest(copy, files={"../stills.csv": "0", "stills.csv": "0"})
    with pytest.raises(UserError, match="expected a name in the same folder"):
        read_stills(copy)
    change_manifest(copy, files={"stills.csv": "0"})
    with pytest.raises(UserError, match="at least one strip"):
        read_stills(copy)
    (copy / "manifest.json").write_text('{"name": "synthetic"}')
    with pytest.raises(UserError, match="key 'channels' is missing"):
        read_stills(copy)


@pytest.mark.skipif(
    not (EMBEDDED / "manifest.json").is_file(),
    reason="data/synthetic is absent; `dvc pull data.dvc` brings it",
)
def test_the_embedded_copy_is_what_the_renderer_draws():
    """Fifty faces without JPEG within one grey level; a JPEG may turn one level of its input into a few."""
    images, table, _ = read_stills(EMBEDDED)
    assert table.drop(columns="image").equals(sample_stills(0).drop(columns="image"))
    plain = table[table["jpeg"] == 0][::20][:50]
    difference = np.abs(render(plain, 48).images.astype(int) - images[plain["image"]])
    assert difference.max() <= 1
    coded = table[table["jpeg"] > 0][::200]
    assert np.abs(render(coded, 48).images.astype(int) - images[coded["image"]]).max() <= 12
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 4_000_000


def test_the_face_of_the_examples_is_one_face():
    from fer_repro.datasets.faces import CascadeDetector

    kept = np.asarray(Image.open(EMBEDDED.parents[1] / "docs" / "face.png"))
    drawn = render(sample_stills(3, {"train": 1}, 1).iloc[3:4], 224, colour=True).images[0]
    assert np.abs(kept.astype(int) - drawn).max() <= 2  # another machine may move a value by a grey level
    (face,) = CascadeDetector().detect(kept)
    assert face.right - face.left > 100
