"""Predictions on disk: three kinds with the same rows, and a killed call that continues."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from videos import write_video

import fer_repro
from fer_repro.datasets.faces import Box
from fer_repro.errors import UserError
from fer_repro.inference.faces_in import read_table
from fer_repro.inference.journal import predict_to, stamp_of
from fer_repro.inference.model import Looking
from fer_repro.inference.sources import list_inputs


@pytest.fixture
def album(faces, tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(faces[number]).save(folder / f"{number}.png")
    write_video(folder / "video.avi", np.repeat(faces[6:16, :, :, None], 3, axis=3))
    return folder


class Watched:
    """Passes on to a backend and counts the faces; gives up at the asked number."""

    runtime = "torch"

    def __init__(self, backend, at_most=10**9):
        self.outputs = backend.outputs
        self.backend, self.batch, self.count, self.at_most = backend, 3, 0, at_most

    def run(self, faces):
        self.count += len(faces)
        if self.count > self.at_most:
            raise KeyboardInterrupt
        return self.backend.run(faces)


def finish(model, outs, album, backend, **looking):
    model = type(model)(model.spec, backend)
    list(predict_to(outs, model, list_inputs(album), Looking(detector="none", **looking)))


@pytest.mark.parametrize("method", ["rmn", "adacos"])
def test_all_kinds_hold_what_predict_returns(run_of, album, tmp_path, method):
    model = fer_repro.load(run_of(method))
    expected = model.predict(album, detector="none")
    outs = [tmp_path / f"found.{kind}" for kind in ("csv", "json", "parquet")]
    list(predict_to(outs, model, list_inputs(album), Looking(detector="none")))
    for out in outs:
        table = read_table(out)
        assert table["source"].tolist() == expected["source"].tolist()
        assert pd.to_numeric(table["frame"]).fillna(-1).tolist() == expected["frame"].fillna(-1).tolist()
        for name in expected.filter(regex="^p_|score|confidence"):
            assert np.allclose(table[name], expected[name], rtol=1e-7), (out, name)
        if method == "adacos":
            values = [
                json.loads(f"[{v.replace(' ', ',')}]") if isinstance(v, str) else v
                for v in table["embedding"]
            ]
            assert np.array_equal(np.float32(values), np.stack(expected["embedding"].tolist()))
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(("method", "stop"), [("rmn", 4), ("rmn", 11), ("rmn", 15), ("fan", 9)])
def test_a_killed_call_continues_and_ends_with_the_same_file(run_of, album, tmp_path, method, stop):
    model = fer_repro.load(run_of(method))
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    finish(model, [whole], album, Watched(model.backend), window=4)
    with pytest.raises(KeyboardInterrupt):
        finish(model, [out], album, Watched(model.backend, stop), window=4)
    assert not out.exists()
    partial = tmp_path / ".out.csv.partial"
    with partial.open("a") as file:
        file.write('{"row": {"source": "half a li')  # killed while it wrote
    rest = Watched(model.backend)
    finish(model, [out], album, rest, window=4)
    assert out.read_text() == whole.read_text()
    assert 0 < rest.count <= 16 - stop + 6  # what was kept is not computed again
    assert not partial.exists()


def test_a_journal_of_another_call_is_not_continued(rmn, album, tmp_path, capsys):
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        finish(rmn, [out], album, Watched(rmn.backend, 4))
    finish(rmn, [out], album / "video.avi", Watched(rmn.backend))
    assert "of another model, inputs or options; started from the beginning" in capsys.readouterr().err
    assert len(pd.read_csv(out)) == 10


def test_unknown_kinds_are_refused_before_anything_is_looked_at(rmn, album, tmp_path):
    watched = Watched(rmn.backend)
    with pytest.raises(UserError, match=r"out.xlsx: expected .csv or .json or .parquet"):
        finish(rmn, [tmp_path / "out.xlsx"], album, watched)
    assert watched.count == 0


class Found:
    """Finds a face, by a network whose file has this digest."""

    def __init__(self, digest):
        self.name = f"yunet sha256={digest}"

    def detect(self, image):
        return [Box(4, 4, 44, 44)]


def test_another_detectors_file_is_another_call(rmn, album, tmp_path):
    inputs = list_inputs(album)
    one, same, other = (stamp_of(rmn, inputs, Looking(detector=Found(d))) for d in ("01", "01", "02"))
    assert (one == same, one == other) == (True, False)


def test_what_found_the_faces_is_kept(rmn, album, tmp_path):
    out = tmp_path / "found.parquet"
    list(predict_to([out], rmn, list_inputs(album), Looking(detector=Found("01"))))
    assert pq.read_schema(out).metadata[b"detector"] == b"yunet sha256=01"
    table = rmn.predict(album, detector=Found("01"))
    assert table.attrs["detector"] == "yunet sha256=01"
    again = rmn.predict(album, boxes=table, detector="none")
    assert again.attrs["detector"] == "boxes of an earlier prediction"
