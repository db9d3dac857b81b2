import pickle

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_repro.datasets.face_index import SCHEMA, FaceIndex, read_face_index, write_face_index
from fer_repro.datasets.faces import Box
from fer_repro.errors import UserError

ONE, TWO = Box(10, 20, 30.5, 50.25, 7), Box(1, 2, 3, 4, 9)


@pytest.fixture
def index():
    found = FaceIndex("toy detector", 5)
    found.add("a/1.mp4", {3: [], 0: [ONE, TWO]})
    found.add("b.mp4", {4: [TWO]})
    found.add("c.mp4", {0: [], 4: []})
    return found


def test_what_is_written_is_read(tmp_path, index):
    path = tmp_path / "faces.parquet"
    write_face_index(path, index)
    found = read_face_index(path)
    assert (found.detector, found.frames) == ("toy detector", 5)
    assert found.boxes("a/1.mp4") == {0: [ONE, TWO]}
    assert found.boxes("b.mp4") == {4: [TWO]}
    assert found.boxes("c.mp4") is None
    table = pd.read_parquet(path)
    assert table.columns.tolist() == [
        "video", "frame", "videosubject", "nfaces", "left", "top", "right", "bottom", "conf"
    ]  # fmt: skip
    assert table["nfaces"].tolist() == [2, 2, 1]
    assert table["videosubject"].tolist() == [0, 1, 0]
    again = tmp_path / "again.parquet"
    write_face_index(again, found)
    assert again.read_bytes() == path.read_bytes()


def test_an_index_says_what_its_boxes_are(tmp_path, index):
    path = tmp_path / "faces.parquet"
    write_face_index(path, index)
    assert read_face_index(path).box == "margin"
    index.box = "tight"
    write_face_index(path, index)
    assert read_face_index(path).box == "tight"


CASCADES = "haar alt2+default+profile side=320 smallest=0.1 step=1.1 neighbours=3 sure=6"


def test_only_the_cascades_of_before_need_not_say_it(tmp_path, index):
    path = tmp_path / "faces.parquet"
    table = pa.Table.from_pandas(index.table(), SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({"detector": CASCADES, "frames": "5"}), path)
    assert read_face_index(path).box == "margin"
    for message in (
        {"detector": "toy"},
        {"detector": "toy", "box": "wide"},
        {"detector": CASCADES, "box": "x"},
    ):
        pq.write_table(table.replace_schema_metadata({"frames": "5", **message}), path)
        with pytest.raises(UserError, match=r"metadata 'box' is '.*': expected 'tight' .* or 'margin'"):
            read_face_index(path)


def test_an_index_without_faces(tmp_path):
    write_face_index(tmp_path / "faces.parquet", FaceIndex("toy", 5))
    assert read_face_index(tmp_path / "faces.parquet").faces == {}


def test_the_order_of_rows_and_further_columns_do_not_matter(tmp_path, index):
    path = tmp_path / "faces.parquet"
    write_face_index(path, index)
    table = pq.read_table(path)
    table = table.append_column("kp1x", pa.array([1, 2, 3], pa.int16())).take([1, 2, 0])
    pq.write_table(table, path)
    assert read_face_index(path).boxes("a/1.mp4") == {0: [ONE, TWO]}


def changed(column, values):
    return lambda table: table.assign(**{column: values})


BAD = {
    "no column": (lambda t: t.rename(columns={"right": "rigth"}), "'right' is missing; .* mean 'rigth'"),
    "type": (changed("frame", ["x", "y", "z"]), "column 'frame' holds .*: expected int32"),
    "empty": (changed("conf", [1.0, None, 1.0]), "row 1: conf is empty"),
    "box": (changed("left", [9.0, 5.0, 0.0]), r"row 1: a/1\.mp4, frame 0: box is not left < right"),
    "no number": (changed("top", [float("inf"), 0.0, 0.0]), "row 0: .*: box is not"),
    "score": (changed("conf", [1.0, 1.0, float("inf")]), "row 2: b.mp4, frame 4: conf is not finite"),
    "frame": (changed("frame", [0, -1, 4]), "row 1: .*: frame is below 0"),
    "rank": (changed("videosubject", [0, 2, 0]), "row 1: .*: videosubject is not below nfaces"),
    "twice": (changed("videosubject", [0, 0, 0]), "row 1: .*: this face is there twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_one_clear_error(tmp_path, index, case):
    change, message = BAD[case]
    path = tmp_path / "faces.parquet"
    table = pa.Table.from_pandas(change(index.table()), preserve_index=False)
    pq.write_table(table.replace_schema_metadata({"detector": "toy", "frames": "5", "box": "tight"}), path)
    with pytest.raises(UserError, match=message) as caught:
        read_face_index(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path, index):
    path = tmp_path / "faces.parquet"
    with pytest.raises(UserError, match="no such file"):
        read_face_index(path)
    path.write_bytes(pickle.dumps(index.table()))
    with pytest.raises(UserError, match="not readable as Parquet"):
        read_face_index(path)
    pq.write_table(pa.Table.from_pandas(index.table(), SCHEMA, preserve_index=False), path)
    with pytest.raises(UserError, match="metadata 'frames' is ''"):
        read_face_index(path)


def test_digests_of_the_videos_are_kept(tmp_path, index):
    path = tmp_path / "faces.parquet"
    index.add("d.mp4", {0: [ONE]}, "ab12")
    write_face_index(path, index)
    assert read_face_index(path).digests == {"d.mp4": "ab12"}
    table = index.table()
    table.loc[table["video"] == "a/1.mp4", "sha256"] = ["x", "y"]
    schema = SCHEMA.append(pa.field("sha256", pa.string()))
    rows = pa.Table.from_pandas(table, schema, preserve_index=False)
    pq.write_table(rows.replace_schema_metadata({"detector": "toy", "frames": "5", "box": "tight"}), path)
    with pytest.raises(UserError, match=r"a/1\.mp4: its rows have several values of sha256: expected one"):
        read_face_index(path)
