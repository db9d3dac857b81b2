"""What is named again is looked at again: one row per entry, in order, also when a killed call continues."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_models import tiny_model
from typer.testing import CliRunner
from videos import write_video

import fer_repro
from fer_repro.cli import app
from fer_repro.inference.torch_backend import TorchBackend


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Model files by method."""
    folder = tmp_path_factory.mktemp("models")
    return {method: tiny_model(folder, method) for method in ("rmn", "fan", "adacos")}


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    for number in range(3):
        Image.fromarray(pixels[number]).save(folder / f"{number}.png")
    write_video(folder / "video.avi", pixels)
    return folder


def test_each_entry_has_its_vector(files, album):
    model = fer_repro.load(files["adacos"])
    order = [0, 1, 0, 2, 1]
    vectors = model.embed([album / f"{n}.png" for n in order], detector="none")
    alone = [model.embed(album / f"{n}.png", detector="none")[0] for n in range(3)]
    assert np.allclose(vectors, [alone[n] for n in order], atol=1e-4)


def test_a_folder_and_a_file_of_it_and_globs_that_overlap(files, album):
    model = fer_repro.load(files["rmn"])
    given = [album / "1.png", album, f"{album}/*.png", album / "." / "1.png", album / "video.avi"]
    table = model.predict(given, detector="none", every=3)
    stems = [f"{source.rpartition('/')[2].partition('.')[0]}" for source in table["source"]]
    assert stems == ["1", "0", "1", "2", "video", "video", "0", "1", "2", "1", "video", "video"]
    columns = table.filter(like="p_").to_numpy()
    assert np.allclose(columns[4:6], columns[10:12], atol=1e-6)
    assert not np.allclose(columns[0], columns[1], atol=1e-6)


def test_clips_that_are_given_again_do_not_join(files, album):
    model = fer_repro.load(files["fan"])
    video, stills = album / "video.avi", f"{album}/*.png"
    alone = [model.predict(each, detector="none")["frame_weight"].tolist() for each in (video, stills)]
    table = model.predict([video, video, stills, stills, album / "0.png", album / "0.png"], detector="none")
    assert table["frame_weight"].tolist() == pytest.approx(2 * alone[0] + 2 * alone[1] + [1, 1])
    assert table["clip"].nunique() == 6
    assert table.groupby("clip")["frame_weight"].sum().tolist() == pytest.approx([1] * 6)


def call(album, out, model, *options):
    given = [str(album), str(album / "1.png"), str(album), str(album / "video.avi")]
    return CliRunner().invoke(
        app, ["predict", *given, "-m", str(model), "--detector", "none", "--csv", str(out), *options]
    )


@pytest.mark.parametrize("method", ["rmn", "fan"])
@pytest.mark.parametrize("options", [("--window", "2"), ("--frames", "4", "--window", "2")])
def test_a_killed_call_with_repetitions_ends_with_the_same_file(
    files, album, tmp_path, method, options, monkeypatch
):
    whole, out, run = tmp_path / "whole.csv", tmp_path / "out.csv", TorchBackend.run
    options = (*options, "--batch-size", "2")
    assert call(album, whole, files[method], *options).exit_code == 0
    for stop in (1, 2, 4, 6, 8):
        calls = []

        def killed(backend, faces, calls=calls, stop=stop):
            calls.append(faces)
            if len(calls) > stop:
                raise KeyboardInterrupt
            return run(backend, faces)

        monkeypatch.setattr(TorchBackend, "run", killed)
        assert call(album, out, files[method], *options).exit_code != 0
        monkeypatch.setattr(TorchBackend, "run", run)
        assert call(album, out, files[method], *options).exit_code == 0
        expected, found = pd.read_csv(whole), pd.read_csv(out)
        pd.testing.assert_frame_equal(found, expected, atol=1e-5)
        out.unlink()


def test_the_command_notes_repetitions_and_annotates_once(files, album, tmp_path):
    done = call(album, tmp_path / "a.csv", files["rmn"], "--annotate", str(tmp_path / "seen"))
    assert done.exit_code == 0
    assert "note: 6 of 10 inputs are repeated and get rows again" in done.stderr
    assert done.stderr.count("annotated: ") == 4
    assert len(pd.read_csv(tmp_path / "a.csv")) == 2 * 8 + 1 + 5
