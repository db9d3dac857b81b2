"""YuNet finds turned faces in a file of the user's own; whatever else that file is, is said clearly."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets import yunet
from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.face_index import read_face_index
from fer_repro.datasets.faces import CascadeDetector, largest_face, overlap
from fer_repro.datasets.yunet import YuNetDetector, named_detector
from fer_repro.errors import UserError
from fer_repro.files import file_sha256

REAL = Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere")


@pytest.fixture(scope="module")
def file():
    found = sorted((REAL / "yunet").glob("*.onnx"))
    if not found:
        pytest.skip("FER_REPRO_REAL_DATA names no folder with yunet/*.onnx")
    return found[0]


@pytest.fixture(scope="module")
def detector(file):
    return YuNetDetector(file)


def photographs(count):
    files = sorted((REAL / "lfw").glob("*/*.jpg"))[:count]
    if not files:
        pytest.skip("FER_REPRO_REAL_DATA names no folder with lfw")
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


def graph(path, outputs=("a",), dimension=8, operator="Relu"):
    """A network that is no YuNet."""
    onnx = pytest.importorskip("onnx")
    shape = [1, 3, dimension, dimension]
    make, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node(operator, ["input"], [name]) for name in outputs]
    made = onnx.helper.make_graph(
        nodes, "other", [make("input", kind, shape)], [make(name, kind, shape) for name in outputs]
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=8)
    onnx.save(model, path)
    return path


USUAL = r"face_detection_yunet_2023mar\.onnx of OpenCV's model zoo"


def test_an_absent_file_is_named_with_the_usual_one(tmp_path):
    with pytest.raises(UserError, match=rf"absent\.onnx: no such file; .*{USUAL}"):
        named_detector(f"yunet:{tmp_path}/absent.onnx")


def test_no_file_at_all_names_the_variable(monkeypatch):
    monkeypatch.delenv("FER_REPRO_YUNET", raising=False)
    for choice in ("yunet", "yunet:"):
        with pytest.raises(UserError, match=rf"give yunet:FILE, or .* FER_REPRO_YUNET; .*{USUAL}"):
            named_detector(choice)


@pytest.mark.parametrize("content", [b"", b"no network" * 9, b"\x08\x07\x12\x00"])
def test_a_damaged_file_is_told(tmp_path, content, capfd):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.onnx: .*{USUAL}"):
        YuNetDetector(path)
    assert capfd.readouterr().err == ""


def test_another_network_is_told_by_its_outputs(tmp_path):
    path = graph(tmp_path / "other.onnx", ("a", "b"))
    with pytest.raises(UserError, match=rf"no YuNet: it gives a, b, expected bbox_16, .*{USUAL}"):
        YuNetDetector(path)


@pytest.mark.parametrize("dimension", [64, "side"])
def test_outputs_of_other_sizes_are_told(tmp_path, dimension):
    path = graph(tmp_path / "sizes.onnx", sorted(yunet._OUTPUTS), dimension)
    with pytest.raises(
        UserError, match=rf"no YuNet: its bbox_16 has 12288 numbers .* expected 64; .*{USUAL}"
    ):
        YuNetDetector(path)


def test_a_network_that_opencv_cannot_run_is_told(tmp_path):
    """Such as one exported with a dynamic shape, which needs layers that OpenCV does not have."""
    path = graph(tmp_path / "shapes.onnx", sorted(yunet._OUTPUTS), operator="NonZero")
    with pytest.raises(UserError, match=rf"shapes\.onnx: .* dynamic shape; .*{USUAL}"):
        YuNetDetector(path)


def test_an_unknown_detector_names_the_nearest():
    with pytest.raises(UserError, match="detector is 'yunett'; did you mean 'yunet'"):
        named_detector("yunett")
    assert isinstance(named_detector("cascade"), CascadeDetector)


def test_an_opencv_without_yunet_is_named(monkeypatch, tmp_path):
    monkeypatch.delattr(cv2, "FaceDetectorYN")
    with pytest.raises(UserError, match="has no FaceDetectorYN"):
        YuNetDetector(tmp_path / "any.onnx")


def test_the_name_holds_the_files_digest(file, detector, monkeypatch):
    assert file_sha256(file) in detector.name
    assert "tight side=640 score=0.6" in detector.name
    monkeypatch.setenv("FER_REPRO_YUNET", str(file))
    assert named_detector("yunet").name == detector.name == named_detector(f"yunet:{file}").name


def test_faces_of_photographs_are_found(detector):
    cascade = CascadeDetector()
    for image in photographs(8):
        boxes = detector.detect(image)
        assert boxes == sorted(boxes, key=lambda box: -box.score)
        assert all(0.6 <= box.score <= 1 for box in boxes)
        middle = largest_face(boxes)
        assert middle.left < image.shape[1] / 2 < middle.right  # where LFW's are
        known = largest_face(cascade.detect(image))
        if known is not None:
            assert overlap(middle, known) > 0.5  # tight boxes, both


def test_a_large_photograph_gives_the_same_box(detector):
    image = photographs(1)[0]
    box = largest_face(detector.detect(image))
    large = largest_face(detector.detect(image.repeat(4, 0).repeat(4, 1)))
    assert overlap(box, type(box)(*(side / 4 for side in large[:4]))) > 0.8


def test_nothing_is_found_where_nobody_is(detector):
    for shape in ((80, 90, 3), (1, 1, 3), (7, 700, 3)):
        assert detector.detect(np.full(shape, 120, np.uint8)) == []


@pytest.mark.parametrize(
    "bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)]
)
def test_other_arrays_are_refused(detector, bad):
    with pytest.raises(UserError, match=r"expected uint8 \(H, W, 3\) RGB"):
        detector.detect(bad)


def test_thin_images_give_the_same_answer_every_time(file):
    """OpenCV reads unwritten numbers where a side has 32 pixels or less."""
    for _ in range(8):
        detector = YuNetDetector(file)
        detector.detect(np.full((80, 90, 3), 120, np.uint8))
        for shape in ((6, 640, 3), (32, 640, 3), (640, 6, 3)):
            assert detector.detect(np.full(shape, 120, np.uint8)) == []


def test_videos_are_added_with_yunet(file, tmp_path):
    videos = REAL / "deepfake" / "dfdc"
    if not videos.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with deepfake/dfdc")
    store = add_dataset("dfdc-2fpv", videos, tmp_path, size=32, detector=f"yunet:{file}")
    assert len(store.samples) == 6
    index = read_face_index(store.folder / "faces.parquet")
    assert file_sha256(file) in index.detector
    assert file_sha256(file) in store.manifest.note
