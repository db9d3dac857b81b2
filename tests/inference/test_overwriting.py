"""No command writes over a file that is there, unless --force says so; originals not even then."""

import sys

import numpy as np
import pytest
from PIL import Image
from videos import write_video

from fer_repro import cli
from fer_repro.inference.annotate import VideoOutput

RMN = "runs/synthetic/rmn/0/masked"


@pytest.fixture
def fer(monkeypatch, capsys, project):
    """Runs the command in the finished project: (exit code, what it said on stderr)."""
    monkeypatch.chdir(project)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-repro", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code or 0, capsys.readouterr().err

    return call


@pytest.fixture
def album(faces, tmp_path):
    for number in range(2):
        (tmp_path / "album").mkdir(exist_ok=True)
        Image.fromarray(faces[number]).save(tmp_path / "album" / f"{number}.png")
    return tmp_path / "album"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PREDICT = ("predict", "album", "-m", RMN, "--detector", "none")
WRITERS = [  # what is there before, and the command that would write it
    ("found.csv", (*PREDICT, "--csv", "found.csv")),
    ("found.json", (*PREDICT, "--json", "found.json")),
    ("found.parquet", (*PREDICT, "--parquet", "found.parquet")),
    ("second.json", (*PREDICT, "--csv", "first.csv", "--json", "second.json")),
    ("seen/1.png", (*PREDICT, "--annotate", "seen")),
    ("seen.csv", ("webcam", "-m", RMN, "--csv", "seen.csv")),
    ("seen.mp4", ("webcam", "-m", RMN, "--annotate", "seen.mp4")),
    ("rmn.safetensors", ("export", RMN, "--to", "rmn.safetensors")),
    ("rmn.md", ("export", RMN, "--to", "rmn.safetensors")),
    ("rmn.onnx", ("export", RMN, "--to", "rmn.onnx")),
    ("paper/README.md", ("export", RMN, "--to", "paper")),
    ("paper/model.onnx", ("export", RMN, "--to", "paper")),
    ("official.safetensors", ("import", "official.pth", "--to", "official.safetensors")),
    ("official.md", ("import", "official.pth", "--to", "official.safetensors")),
]


@pytest.mark.parametrize(("there", "command"), WRITERS, ids=[f"{c[0]} {there}" for there, c in WRITERS])
def test_what_is_there_is_kept(fer, album, tmp_path, there, command):
    """Refused at once: neither model nor camera nor checkpoint is even looked for."""
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("of the user")
    ours = {"album", "seen", "paper"}
    words = [str(tmp_path / word) if word in ours or "." in word else word for word in command]
    before = contents(tmp_path)
    code, message = fer(*words)
    assert code == 2
    *steps, said = message.splitlines()
    assert steps in ([], ["loading PyTorch ..."])
    assert said == f"fer-repro: {tmp_path / there} exists already; nothing was changed (--force replaces it)"
    assert contents(tmp_path) == before


def test_force_replaces(fer, album, tmp_path):
    for name in ("found.csv", "seen/0.png", "paper/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("of the user")
    predict = ("predict", album, *PREDICT[2:])
    code, _ = fer(*predict, "--csv", tmp_path / "found.csv", "--annotate", tmp_path / "seen", "--force")
    assert code == 0
    assert (tmp_path / "found.csv").read_text().startswith("source,")
    assert Image.open(tmp_path / "seen" / "0.png").size == (48, 48)
    assert fer("export", RMN, "--to", tmp_path / "paper", "--force")[0] == 0
    assert (tmp_path / "paper" / "README.md").read_text() != "of the user"


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("out", ["album", "album/../album"])
def test_nothing_is_drawn_into_the_originals(fer, album, tmp_path, out, force):
    before = contents(album)
    code, message = fer("predict", album, *PREDICT[2:], "--annotate", tmp_path / out, *force)
    assert code == 2
    assert message.endswith("0.png: would overwrite its own source; --annotate needs another folder\n")
    assert contents(album) == before


def test_a_video_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    path, image = tmp_path / "seen.mp4", np.zeros((32, 48, 3), np.uint8)
    writer = VideoOutput(path, 10.0)
    for _ in range(3):
        writer.add(image)
    assert not path.exists()
    writer.keep()
    assert [item.name for item in tmp_path.iterdir()] == ["seen.mp4"]
    whole = path.read_bytes()
    cut = VideoOutput(tmp_path / "cut.mp4", 10.0)
    cut.add(image)
    temporary = next(tmp_path.glob(".cut*"))
    cut._writer.release()
    temporary.write_bytes(whole[: len(whole) // 2])  # as a full disk leaves it
    with pytest.raises(
        OSError, match=r"cut\.mp4: the video could not be written completely; is the disk full"
    ):
        cut.keep()
    assert [item.name for item in tmp_path.iterdir()] == ["seen.mp4"]


def test_a_video_that_breaks_off_leaves_no_half_copy(fer, faces, tmp_path, monkeypatch):
    from fer_repro.inference import annotate

    images = np.repeat(faces[:4, ..., None], 3, axis=3)
    write_video(tmp_path / "video.avi", images)

    def break_off(path):
        yield 0, images[0]
        raise RuntimeError("the decoder stopped")

    monkeypatch.setattr(annotate, "video_frames", break_off)
    with pytest.raises(RuntimeError, match="stopped"):
        fer("predict", tmp_path / "video.avi", *PREDICT[2:], "--annotate", tmp_path / "seen")
    assert list((tmp_path / "seen").iterdir()) == []
