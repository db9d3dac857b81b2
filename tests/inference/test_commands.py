"""The commands, as people and machines call them."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from videos import write_video

from fer_repro import cli


@pytest.fixture
def fer(monkeypatch, capsys, project):
    """Runs the command in this process and the project's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(project)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-repro", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def album(faces, tmp_path):
    for number in range(4):
        Image.fromarray(faces[number]).save(tmp_path / f"{number}.png")
    return tmp_path


RMN = "runs/synthetic/rmn/0/masked"
WARNING = (
    "warning: rmn masked was trained on synthetic faces only: on photographs and real videos answers are "
    "often wrong, however confident"
)


def test_a_corrupt_image_is_told_and_all_others_are_done(fer, album, tmp_path):
    (album / "2b.png").write_bytes(b"broken")
    out = tmp_path / "found.csv"
    code, printed, message = fer("predict", album, "-m", RMN, "--detector", "none", "--csv", out)
    assert code == 3
    assert printed == ""
    assert message.splitlines() == [
        WARNING,
        f"failed: {album}/2b.png: not readable as an image (unknown kind)",
    ]
    table = pd.read_csv(out)
    assert table["source"].tolist() == [f"{album}/{number}.png" for number in range(4)]
    assert table["p_happy"].notna().all()


def test_every_form_has_the_same_rows(fer, album, tmp_path):
    call = ("predict", album / "0.png", album / "1.png", "-m", RMN, "--detector", "none")
    code, printed, _ = fer(*call, "--json", "-")
    rows = json.loads(printed)
    assert code == 0
    _, printed, _ = fer(*call, "--csv", "-")
    assert printed.splitlines()[0].startswith("source,frame,face,left")
    assert len(printed.splitlines()) == 3
    fer(*call, "--parquet", tmp_path / "a.parquet")
    kept = pd.read_parquet(tmp_path / "a.parquet")
    assert [row["confidence"] for row in rows] == pytest.approx(kept["confidence"].tolist(), abs=1e-8)
    _, printed, _ = fer(*call)
    head, *lines = printed.splitlines()
    assert head.split() == ["file", "face", "answer", "confidence", "trained", "on"]
    assert [line.split() for line in lines] == [
        [row["source"], "0", row["prediction"], f"{row['confidence']:.1%}", "synthetic", "faces"]
        for row in rows
    ]
    _, printed, _ = fer(*call, "--wide")
    assert printed.splitlines()[0].split() == list(kept)
    code, _, message = fer(*call, "--csv", "a.json")
    assert (code, message) == (2, "fer-repro: a.json: expected a name that ends in .csv\n")


def test_images_and_videos_are_annotated(fer, album, faces, tmp_path):
    images = np.repeat(np.repeat(np.repeat(faces[:4], 4, axis=1), 4, axis=2)[..., None], 3, axis=3)
    write_video(album / "video.avi", images)
    seen = tmp_path / "seen"
    code, _, message = fer(
        "predict",
        album / "0.png",
        album / "video.avi",
        "-m",
        RMN,
        "--detector",
        "10,10,40,40",
        "--annotate",
        seen,
    )
    assert code == 0
    assert message.count("annotated: ") == 2
    before, after = (
        np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (album / "0.png", seen / "0.png")
    )
    assert before.shape == after.shape
    changed = np.abs(before - after).max(axis=2) > 30
    assert changed[39, 15:35].all()  # the lower side of the box
    assert not changed[26:34, 42:].any()
    from fer_repro.inference.sources import video_frames

    frames = [frame.astype(int) for _, frame in video_frames(seen / "video.mp4")]
    assert len(frames) == 4
    assert np.abs(frames[2] - images[2]).max(axis=2)[39, 15:35].mean() > 30


def test_a_model_is_chosen_and_the_reason_said(fer, album, project):
    code, printed, message = fer("predict", album / "0.png", "--detector", "none", "--json", "-")
    assert code == 0
    assert json.loads(printed)[0]["trained_on"] == "synthetic faces"
    values = {}
    for path in project.glob("runs/synthetic/*/0/*/metrics.json"):
        values[path.parent.relative_to(project).as_posix()] = json.loads(path.read_text())["val"]["accuracy"]
    best = sorted(values, key=lambda run: (-values[run], run))[0]
    chosen, warning = message.splitlines()
    assert chosen.startswith(f"model: {best} (")
    assert warning.endswith("often wrong, however confident")
    code, printed, _ = fer("models", "--json")
    listed = json.loads(printed)
    assert {each["path"] for each in listed} >= set(values)
    assert {each["task"] for each in listed} == {"expression", "verification", "manipulation"}
    _, printed, _ = fer("models")
    head, *lines = printed.splitlines()
    assert head.split() == ["model", "task", "trained", "on", "val", "MB"]
    assert [line.split()[0] for line in lines] == [each["path"] for each in listed]


def test_exported_graphs_are_listed_too(fer, album, monkeypatch):
    code, printed, message = fer("export", RMN, "--to", album / "models/rmn")
    assert code == 0
    assert message.splitlines()[:2] == ["loading PyTorch ...", f"reading {RMN} ..."]
    assert "graph against PyTorch, 10 synthetic faces and 10 images of noise, largest difference:" in printed
    assert "  of probabilities  " in printed
    assert (album / "models/rmn/model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask()
    (album / "models/bad.onnx").write_bytes(b"broken")
    monkeypatch.chdir(album)
    (album / "params.yaml").touch()
    from fer_repro.inference.catalogue import list_graphs, list_models

    assert [each.path for each in list_graphs()] == ["models/rmn/model.onnx"]
    assert [each.kind for each in (*list_models(), *list_graphs())] == ["file", "graph"]


def umask():
    before = os.umask(0)
    os.umask(before)
    return before


def test_no_model_is_told(fer, album, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()  # a project without models
    code, _, message = fer("predict", album)
    assert code == 2
    assert "no model for expression" in message


def test_two_faces_are_compared(fer, album):
    run = "runs/synthetic_pairs/adacos/0/dynamic"
    code, printed, _ = fer(
        "compare-faces", album / "0.png", album / "0.png", "-m", run, "--detector", "none", "--json"
    )
    found = json.loads(printed)
    assert code == 0
    assert found["score"] == pytest.approx(1)
    assert found["same"] is True
    _, printed, _ = fer("compare-faces", album / "0.png", album / "1.png", "-m", run, "--detector", "none")
    assert printed.startswith("cosine ")
    assert printed.endswith("(trained on synthetic faces)\n")
    code, _, message = fer("compare-faces", album / "0.png", album / "1.png", "-m", RMN, "--detector", "none")
    assert code == 2
    assert "rmn masked has no embeddings" in message


def test_videos_are_scored_for_manipulation(fer, faces, tmp_path):
    path = write_video(tmp_path / "video.avi", np.repeat(faces[:6, :, :, None], 3, axis=3))
    runs = [f"runs/synthetic_forgeries/efficientnet/0/{arm}" for arm in ("plain", "attention")]
    models = ("-m", runs[0], "-m", runs[1])
    code, printed, _ = fer(
        "detect-manipulation", path, *models, "--frames", 4, "--detector", "none", "--json"
    )
    (found,) = json.loads(printed)
    assert code == 0
    assert len(found["frames"]) == 4
    assert set(found["networks"]) == {"efficientnet plain", "efficientnet attention"}
    assert found["trained_on"] == "synthetic faces"
    code, _, message = fer("detect-manipulation", path, "--frames", 1, "--detector", "none")
    assert code == 0
    assert message.splitlines()[0].startswith(
        "model: runs/synthetic_forgeries/efficientnet/0: plain + attention ("
    )
    assert message.count("warning: ") == 1
    (tmp_path / "bad.mp4").write_bytes(b"broken")
    code, printed, message = fer(
        "detect-manipulation", path, tmp_path / "bad.mp4", *models, "--detector", "none"
    )
    assert code == 3
    assert str(path) in printed
    assert "bad.mp4" in message


def test_models_are_exported_and_imported(fer, tmp_path):
    code, printed, _ = fer("export", RMN, "--to", tmp_path / "rmn.safetensors", "--json")
    done = json.loads(printed)
    assert code == 0
    assert (tmp_path / "rmn.md").is_file()
    assert done["safetensors"].endswith("rmn.safetensors")
    code, printed, _ = fer("import", "--list")
    assert "efficientnet  architectures.fornet.Xception" in printed.splitlines()
    code, _, message = fer("import")
    assert (code, message.startswith("fer-repro: which checkpoint?")) == (2, True)
    code, _, message = fer("export", RMN, "--to", tmp_path / "a.onnx", "--push", "me/rmn")
    assert code == 2
    assert "--push needs a folder" in message


def test_doctor_tells_what_is_there(fer, monkeypatch, tmp_path):
    code, printed, _ = fer("doctor", "--json")
    found = json.loads(printed)
    assert (code, found["healthy"]) == (0, True)
    states = {(each["part"], each["name"]): each for each in found["findings"]}
    assert states["data", "prepared"]["message"].startswith("synthetic, synthetic_clips")
    assert states["models", "verification"]["message"].startswith("4;")
    assert states["environment", "face detector"]["state"] == "ok"
    assert states["environment", "yunet"]["state"] == "absent"
    assert "face_detection_yunet_2023mar.onnx" in states["environment", "yunet"]["message"]
    from fer_repro.inference import doctor

    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "no-such-package"))
    code, printed, _ = fer("doctor")
    assert code == 1
    assert "missing  environment  no-such-package" in printed


def test_a_missing_camera_is_told(fer):
    code, _, message = fer("webcam", "--camera", 97)
    assert code == 2
    assert message.startswith("fer-repro: camera 97 cannot be opened")
    assert len(message.splitlines()) == 1


def test_a_camera_is_watched(fer, faces, tmp_path, monkeypatch):
    import cv2

    class Camera:
        def __init__(self, number):
            self.left = [cv2.merge([face] * 3) for face in faces[:3]]

        def isOpened(self):  # noqa: N802 - OpenCV's name
            return True

        def read(self):
            if not self.left:
                raise KeyboardInterrupt
            return True, self.left.pop(0)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    out = ("--csv", tmp_path / "seen.csv", "--annotate", tmp_path / "seen.mp4")
    code, printed, message = fer("webcam", "-m", RMN, "--detector", "none", *out)
    monkeypatch.undo()
    assert code == 0
    assert message.splitlines() == [WARNING, "stopped"]
    assert [line.split(":")[0] for line in printed.splitlines()] == ["0", "1", "2"]
    assert pd.read_csv(tmp_path / "seen.csv")["frame"].tolist() == [0, 1, 2]
    assert (tmp_path / "seen.mp4").stat().st_size > 0


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom fer_repro import cli\nsys.argv = ['fer-repro', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'cv2', 'pydantic', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("predict", "webcam", "import", "export", "models", "doctor", "compare-faces"):
        assert command in done.stdout
