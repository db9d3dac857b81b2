"""Every adapter through the command line: a mistake in the publisher's files is one line, and nothing is written."""
# ruff: noqa: E501 - a table, one case a line

import io
import os
import shutil

import numpy as np
import pytest
from miniature_sets import LAYOUTS, write_noise
from miniature_videos import write_face_film

from fer_repro.datasets.adding import add_dataset
from fer_repro.params import dataset_names

VIDEOS = ("ffpp", "dfdc", "celebdf")
YOUTUBE = "original_sequences/youtube/c23/videos"
LIST = "List_of_testing_videos.txt"
DEEP = "[" * 100_000


def named(layout):
    name = layout.partition("_")[0]
    return f"{name}-2fpv" if name in VIDEOS else name


def edit(file, old, new, encoding="utf-8"):
    def spoil(root):
        text = (root / file).read_text(encoding="utf-8")
        assert old in text
        (root / file).write_text(text.replace(old, new, 1), encoding=encoding)

    return spoil


def put(file, content):
    def spoil(root):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def without(file):
    return lambda root: shutil.rmtree(root / file) if (root / file).is_dir() else (root / file).unlink()


def moved(file, to):
    return lambda root: (root / file).rename(root / to)


def cut(file, share=0.5):
    def spoil(root):
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: int(len(content) * share)])

    return spoil


def array(file, value):
    return lambda root: np.save(root / file, value)


def lying_array(file, shape):
    """An .npy file whose head promises far more than it holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return put(file, buffer.getvalue())


def bytes_name(root):
    (root / "happy" / "0.png").rename(os.fsdecode(os.fsencode(root / "happy") + b"/\xff.png"))


FER = "fer2013.csv"
FACES, POINTS, TEMPLATES = (
    f"meta/ijbc_{name}.txt" for name in ("face_tid_mid", "name_5pts_score", "template_pair_label")
)
EMOTION = "Emotion/S000/001/S000_001_00000002_emotion.txt"
LABELS = "basic/EmoLabel/list_patition_label.txt"
META = "dfdc_train_part_0/metadata.json"
BAD = {
    "fer2013, a label that is none": ("fer2013", edit(FER, "\n0,", "\n9,"), "emotion is '9': expected 0 to 6"),
    "fer2013, a part that is none": ("fer2013", edit(FER, ",Training", ",Trainin"), "did you mean 'Training'?"),
    "fer2013, cut off": ("fer2013", cut(FER), "is the file cut off"),
    "fer2013, empty": ("fer2013", put(FER, ""), "the file is empty"),
    "fer2013, another file": ("fer2013", put(FER, "a,b\n1,2\n"), "column 'emotion' is missing"),
    "fer2013, an archive": ("fer2013", put(FER, b"PK\x03\x04" + bytes(range(256)) * 9), "unpacked and unchanged"),
    "fer2013, a field without end": ("fer2013", put(FER, "emotion,pixels,Usage\n0," + "1" * 200_000), "field larger"),
    "fer2013, no file": ("fer2013", without(FER), "'train' is missing, found nothing"),
    "ferplus, more votes than raters": ("ferplus", edit("fer2013new.csv", ",10,", ",11,"), "are '11': expected a whole"),
    "ferplus, endless votes": ("ferplus", edit("fer2013new.csv", ",10,", f",{'9' * 5000},"), "expected a whole number"),
    "ferplus, no votes": ("ferplus", without("FER2013Test"), "FER2013Test/label.csv is missing"),
    "ferplus, a line too many": ("ferplus", edit("fer2013new.csv", "Training,fer0000000.png", "Training,x.png"), "'x'"),
    "ferplus, a face box": ("ferplus", edit("FER2013Test/label.csv", "48)", "47)"), "face box is '(0, 0, 48, 47)'"),
    "ferplus, Latin 1": ("ferplus", put("FER2013Test/label.csv", b"\xe9,1"), "no UTF-8 text"),
    "ckplus48, a class missing": ("ckplus48", without("contempt"), "class folder 'contempt' is missing"),
    "ckplus48, an unknown class": ("ckplus48", moved("happy", "hapy"), "hapy: unknown class; did you mean 'happy'?"),
    "ckplus48, another name": ("ckplus48", moved("anger/S000_001_00000009.png", "anger/a.png"), "expected a name like"),
    "ckplus48, two frames": ("ckplus48", without("anger/S000_001_00000009.png"), "S000/001 has 2 frames: expected 3"),
    "ckplus48, another size": (
        "ckplus48", lambda root: write_noise(root / "anger/S000_001_00000009.png", (40, 48)), "48 x 40 pixels"
    ),
    "ckplus48, a fold list of another kind": ("ckplus48", put("emotion_fan_10fold.txt", "fold one\n"), "line 1: 'fold one'"),
    "ckplus48, a fold of endless digits": (
        "ckplus48", put("emotion_fan_10fold.txt", f"{'1' * 5000}-fold 1\n"), "line 1:"
    ),
    "ckplus48, a fold list that lacks one": (
        "ckplus48", put("emotion_fan_10fold.txt", "1-fold 1 x\nS000/001 Anger\n"), "sequence 'S007/001' is missing"
    ),
    "ckplus, a label that is none": ("ckplus", put(EMOTION, "  8.0\n"), "label is '8.0': expected 1 to 7"),
    "ckplus, no number": ("ckplus", put(EMOTION, "nan"), "label is 'nan'"),
    "ckplus, no frames": ("ckplus", without("cohn-kanade-images/S000/001"), "the sequence has a label"),
    "ckplus, no labels": ("ckplus", without("Emotion"), "found cohn-kanade-images"),
    "rafdb, a code that is none": ("rafdb", edit(LABELS, ".jpg 1", ".jpg 9"), "line 1: 'train_00001.jpg 9'"),
    "rafdb, a name twice": ("rafdb", edit(LABELS, "train_00002", "train_00001"), "'train_00001.jpg' is given twice"),
    "rafdb, an image missing": ("rafdb", without("basic/Image/aligned/test_0001_aligned.jpg"), "list_patition_label.txt: 'test_0001.jpg'"),
    "rafdb, an image too many": (
        "rafdb", put("basic/Image/aligned/new_aligned.jpg", b"x"), "list_patition_label.txt does not list it"
    ),
    "rafdb, an empty list": ("rafdb", put(LABELS, "\n"), "no lines; expected 15339"),
    "rafdb, a list of RAN with strangers": (
        "rafdb", put("val_raf_db_list.txt", "1/test_0009_aligned.jpg\n"), "'test_0009' is no image of this data set"
    ),
    "affectnet, an expression that is none": (
        "affectnet", array("train_set/annotations/0_exp.npy", np.array(11)), "expression is 11: expected 0 to 10"
    ),
    "affectnet, half an expression": (
        "affectnet", array("train_set/annotations/0_exp.npy", np.array(0.5)), "expression is 0.5"
    ),
    "affectnet, two numbers": (
        "affectnet", array("train_set/annotations/0_val.npy", np.zeros(2)), "0_val.npy: not one number"
    ),
    "affectnet, infinite valence": (
        "affectnet", array("train_set/annotations/0_val.npy", np.array(np.inf)), "valence is inf: expected a finite"
    ),
    "affectnet, no annotation": ("affectnet", without("train_set/annotations/3_aro.npy"), "3_aro.npy: no such file"),
    "affectnet, a head that lies": (
        "affectnet", lying_array("train_set/annotations/0_aro.npy", (10**15,)), "0_aro.npy: not one number"
    ),
    "affectnet, objects": (
        "affectnet", array("train_set/annotations/0_aro.npy", np.array({"a": 1}, object)), "0_aro.npy: not one number"
    ),
    "affectnet, a line cut off": ("affectnet_lists", edit("training.csv", "0,0.5,-0.25", "0"), "line 2: not readable"),
    "affectnet, a word": ("affectnet_lists", edit("training.csv", "0,0.5,", "0,high,"), "valence is 'high'"),
    "affectnet, a box without end": ("affectnet_lists", edit("training.csv", ",1,2,6,6,", ",1,2,inf,6,"), "face_width is 'inf'"),
    "affectnet, a box outside": ("affectnet_lists", edit("training.csv", ",1,2,6,6,", ",1,2,60,6,"), "inside 12 x 12"),
    "affectnet, a column missing": ("affectnet_lists", edit("training.csv", "face_x", "x"), "column 'face_x' is missing"),
    "affectnet, an image missing": ("affectnet_lists", edit("training.csv", "0/t0", "0/t9"), "training.csv: line 2; did you mean 't0.png'?"),
    "sfew, an unknown class": ("sfew", moved("Val/Happy", "Val/Joy"), "Joy: unknown class"),
    "sfew, a class missing": ("sfew", without("Val/Happy"), "class folder 'happy' is missing"),
    "sfew, one part": ("sfew", without("Val"), "found Train; expected"),
    "afew, a video": ("afew", put("Val_AFEW/Sad/1.avi", b"x"), "1.avi: a video; expected a folder of its frames"),
    "afew, an image for a clip": ("afew", put("Val_AFEW/Sad/1.jpg", b"x"), "1.jpg: no folder"),
    "folder, one class": ("folder", without("sad"), "classes found: happy; expected two or more"),
    "folder, a text": ("folder", put("happy/notes.txt", "x"), "notes.txt: not readable as an image (unknown kind)"),
    "folder, a folder for an image": ("folder", put("happy/more/1.png", b"x"), "more: not readable as an image"),
    "folder, one part": ("folder", lambda root: (root / "train").mkdir(), "happy: unknown part of the data"),
    "folder, several sizes": (
        "folder", lambda root: write_noise(root / "sad" / "0.png", (9, 12, 3)), "add the set with --size N"
    ),
    "folder, a class with a line end": ("folder", moved("sad", "s\nad"), r"class 's\nad' of folder"),
    "folder, an image with a line end": ("folder", moved("sad/0.png", "sad/a\nb.png"), r"a\nb.png: the name holds"),
    "folder, an image with a terminal code": ("folder", moved("sad/0.png", "sad/\x1b[2J.png"), r"\x1b[2J.png: the name"),
    "folder, a name that is no UTF-8": ("folder", bytes_name, r"\udcff.png: the name holds"),
    "lfw, no pairs": ("lfw", without("pairs.txt"), "pairs.txt is missing"),
    "lfw, a stranger": ("lfw", edit("pairs.txt", "Ann_A\t1\t2", "Ann_B\t1\t2"), "'Ann_B' is unknown; did you mean 'Ann_A'?"),
    "lfw, no such image": ("lfw", edit("pairs.txt", "Ann_A\t1\t2", "Ann_A\t1\t9"), "no image 9: expected one of 1, 2, 3, 4"),
    "lfw, a pair of one": ("lfw", edit("pairs.txt", "Ann_A\t1\t2", "Ann_A\t1\t1"), "expected two different images"),
    "lfw, cut off": ("lfw", edit("pairs.txt", "Di_D\t2\tEve_E\t2\n", ""), "ends after 7 pairs: line 1 states 8"),
    "lfw, an empty list": ("lfw", put("pairs.txt", "\n"), "the file is empty"),
    "lfw, UTF-16": ("lfw", put("pairs.txt", "Ann".encode("utf-16")), "no UTF-8 text"),
    "lfw, another name": ("lfw", moved("Ann_A/Ann_A_0001.png", "Ann_A/x_0001.png"), "a name such as Ann_A_0001.jpg"),
    "identities, a pair with the wrong answer": ("identities", edit("pairs.csv", "png,0", "png,1"), "by their folders"),
    "identities, an unknown image": ("identities", edit("pairs.csv", "Ann_2", "Ann_3"), "'Ann/Ann_3.png' is unknown; did"),
    "identities, a fold that is none": (
        "identities", put("pairs.csv", "first,second,same,fold\nAnn/Ann_1.png,Ann/Ann_2.png,1,x\n"), "fold is 'x'"
    ),
    "identities, a column missing": ("identities", edit("pairs.csv", ",same", ""), "columns are first,second"),
    "identities, a field without end": (
        "identities", edit("pairs.csv", "Ann/Ann_1.png", "a" * 200_000), "line 2: not readable as CSV: field larger"
    ),
    "identities, two lists": ("identities", put("pairs.txt", "Ann 1 2\n"), "expected one list of pairs"),
    "identities, nobody": ("identities", lambda root: [without(name)(root) for name in ("Ann", "Bob", "Cy")], "no images"),
    "identities, an empty person": ("identities", lambda root: (root / "Di").mkdir(), "Di: no images"),
    "ijb, no list": ("ijb", without(POINTS), "no such file; expected lines of file x1"),
    "ijb, a line too long": ("ijb", edit(FACES, "2.jpg 1 11", "2.jpg 1 11 4"), "Expected 3 fields in line 2, saw 4"),
    "ijb, a line too short": ("ijb", edit(FACES, "2.jpg 1 11", "2.jpg 1"), "meta/ijbc_face_tid_mid.txt"),
    "ijb, a word for a number": ("ijb", edit(FACES, "2.jpg 1 11", "2.jpg one 11"), "invalid literal for int"),
    "ijb, another order": ("ijb", edit(POINTS, "1.jpg", "2.jpg"), "line 1: image '2.jpg'"),
    "ijb, points at infinity": ("ijb", edit(POINTS, "1.jpg 38.29", "1.jpg inf"), "expected five places"),
    "ijb, a template without images": ("ijb", edit(TEMPLATES, "1 2 0", "1 7 0"), "templates that have images"),
    "ijb, an answer that is none": ("ijb", edit(TEMPLATES, "1 2 0", "1 2 3"), "expected same 0 or 1"),
    "ijb, an image missing": ("ijb", without("loose_crop/2.jpg"), "2.jpg: no such file, expected for"),
    "megaface, an image missing": ("megaface", without("megaface_images/0"), "no such file, expected for"),
    "megaface, too few parts": ("megaface", put("megaface_lst", "a.png\n"), "expected a path of 3 parts"),
    "megaface, an empty list": ("megaface", put("megaface_lst", "# none\n"), "no images; expected one per line"),
    "megaface, UTF-16": ("megaface", put("megaface_lst", "a/b/c".encode("utf-16")), "no UTF-8 text"),
    "ffpp, no split": ("ffpp", without("val.json"), "val.json is missing"),
    "ffpp, a video in two splits": ("ffpp", put("val.json", '[["000", "003"]]'), "video 000 is also in train.json"),
    "ffpp, no video": ("ffpp", put("val.json", '[["2", "3"]]'), "'2': expected a list of pairs"),
    "ffpp, a list cut off": ("ffpp", cut("val.json"), "val.json: not readable as JSON"),
    "ffpp, a list without end": ("ffpp", put("val.json", DEEP), "val.json: not readable as JSON"),
    "ffpp, another name": ("ffpp", put(f"{YOUTUBE}/one.mp4", b"x"), "one.mp4: unknown name; expected NNN.mp4"),
    "ffpp, nothing": ("ffpp", lambda root: [without(f"{part}_sequences")(root) for part in ("original", "manipulated")],
                      "no videos of quality c23"),
    "dfdc, no list": ("dfdc", without(META), "no metadata.json there or below"),
    "dfdc, a label that is none": ("dfdc", edit(META, "REAL", "REEL"), "label is 'REEL'; did you mean 'REAL'?"),
    "dfdc, no original": ("dfdc", edit(META, '"original"', '"o"'), "original is None"),
    "dfdc, a list of lists": ("dfdc", put(META, "[[1]]"), 'expected {"video.mp4"'),
    "dfdc, a list without end": ("dfdc", put(META, DEEP), "metadata.json: not readable as JSON"),
    "dfdc, an unknown part": ("dfdc", moved("dfdc_train_part_0", "dfdc_train_part_50"), "part 50 is unknown"),
    "dfdc, no videos": ("dfdc", lambda root: [without(f"dfdc_train_part_0/{n}.mp4")(root) for n in ("real", "fake")],
                        "no videos; expected at least one"),
    "celebdf, no list": ("celebdf", without(LIST), "List_of_testing_videos.txt: no such file"),
    "celebdf, a wrong answer": ("celebdf", put(LIST, "0 Celeb-real/id1_0000.mp4\n"), "line 1:"),
    "celebdf, Latin 1": ("celebdf", put(LIST, b"1 Celeb-real/\xe9.mp4\n"), "no UTF-8 text"),
    "celebdf, another name": ("celebdf", put("Celeb-real/a.mp4", b"x"), "a.mp4: unknown name"),
    "celebdf, a part missing": ("celebdf", without("YouTube-real"), "youtube-real is missing"),
    "videos that are texts": (
        "dfdc", lambda root: [put(f"dfdc_train_part_0/{n}.mp4", "x")(root) for n in ("real", "fake")],
        "none of 2 videos gives a face. 0 frames show no face. 2 videos are left out as damaged"
    ),
    "videos without a face": (
        "dfdc", lambda root: [write_face_film(root / f"dfdc_train_part_0/{n}.mp4", None, 2) for n in ("real", "fake")],
        "2 videos without a face are left out"
    ),
    "an index of faces that is none": ("dfdc", put("faces.parquet", b"PAR1"), "faces.parquet: not readable as Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_miniatures_are_taken_as_they_are(layout, laid_out, tmp_path):
    store = add_dataset(named(layout), laid_out(layout), tmp_path, size=32 if layout in VIDEOS else 0)
    assert len(store.samples) == store.manifest.count > 2


def test_every_adapter_has_a_miniature():
    assert {layout.partition("_")[0] for layout in LAYOUTS} == set(dataset_names())


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_and_nothing_is_written(case, raw, tell, tmp_path):
    layout, spoil, expected = BAD[case]
    root = raw(layout)
    spoil(root)
    said = tell("data", "add", named(layout), root, "--store", tmp_path / "stores")
    assert expected in said
    assert not any((tmp_path / "stores").rglob("*"))


@pytest.mark.parametrize("name", dataset_names())
@pytest.mark.parametrize("kind", ["nothing", "an empty folder", "an archive"])
def test_no_data_at_all(name, kind, tell, tmp_path):
    path = tmp_path / "raw"
    if kind == "an empty folder":
        path.mkdir()
    elif kind == "an archive":
        path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9)
    said = tell("data", "add", name, path, "--store", tmp_path / "stores")
    assert str(path) in said
    assert not any((tmp_path / "stores").rglob("*"))
