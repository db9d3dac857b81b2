"""Names of any characters, on terminals of any encoding, cost no other file's result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_models import tiny_model
from typer.testing import CliRunner
from videos import write_video
from warm_python import CLI, WarmPython

from fer_repro import cli
from fer_repro.errors import UserError
from fer_repro.inference.annotate import annotate
from fer_repro.inference.sources import list_inputs

if sys.platform != "linux":
    pytest.skip("names are bytes", allow_module_level=True)

FINE = [
    "zo\u00eb.png",
    "\u540d.png",
    "\U0001f600.png",
    "=1+1.png",
    "-dash.png",
    " blank .png",
    'a"b,c.png',
    "a'b\\n.png",
]
ODD = {
    b"caf\xe9.png": "caf\\udce9.png: its name is not readable as utf-8; rename it",
    b"a\nb.png": "a\\nb.png: its name holds line ends or control characters; rename it",
    b"a\x1b[31mb.png": "a\\x1b[31mb.png: its name holds line ends or control characters; rename it",
    b"a\rb.png": "a\\rb.png: its name holds",
    "a\u2028b.png".encode(): "a\\u2028b.png: its name holds",
}
TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
}
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL")}
ENVIRONMENT["PYTHONPATH"] = str(Path(cli.__file__).parents[1])


@pytest.fixture(scope="module")
def called():
    """Runs the command as a process of its own, in a folder and on one of the terminals."""
    warm = {}

    def call(folder, *arguments, terminal="ascii"):
        if terminal not in warm:
            warm[terminal] = WarmPython(CLI, ENVIRONMENT | TERMINALS[terminal])
        return warm[terminal].call(folder, *arguments)

    yield call
    for each in warm.values():
        each.end()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Models, and a folder of images with good, fine and odd names."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "models").mkdir()
    for method in ("rmn", "adacos", "efficientnet"):
        tiny_model(folder / "models", method)
    (folder / "photos").mkdir()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "photos" / "good.png")
    content = (folder / "photos" / "good.png").read_bytes()
    for name in [*map(os.fsencode, FINE), *ODD]:
        with open(os.fsencode(folder / "photos") + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(content)
    with open(os.fsencode(folder / "models") + b"/caf\xe9.safetensors", "wb") as file:  # noqa: PTH123
        file.write((folder / "models" / "rmn.safetensors").read_bytes())
    return folder


TABLES = (("--csv", "-"), ("--csv", "out.csv", "--annotate", "seen"))


@pytest.mark.parametrize(
    ("terminal", "out"),
    [(name, ()) for name in TERMINALS]
    + [("ascii", out) for out in TABLES]
    + [pytest.param(name, out, marks=pytest.mark.slow) for name in list(TERMINALS)[1:] for out in TABLES],
)
def test_a_terminal_of_any_encoding(home, called, terminal, out):
    call = ("predict", "photos", "-m", "models/rmn.safetensors", "--detector", "none", "--force")
    done = called(home, *call, *out, terminal=terminal)
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
    message = done.stderr.decode({"C": "ascii"}.get(terminal, terminal))
    assert message.count("failed: ") == len(ODD) + (3 if terminal == "C" else 0)
    shown = done.stdout if "out.csv" not in out else (home / "out.csv").read_bytes()
    for name in ("good.png", "=1+1.png", "-dash.png"):
        assert shown.count(name.encode()) == 1
    assert b"\x1b" not in done.stdout + done.stderr
    if terminal == "ascii" and "out.csv" not in out:
        assert b"zo\\xeb.png" in done.stdout


def test_every_kind_of_file_holds_all_others(home, tmp_path):
    for kind, read in {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}.items():
        out = tmp_path / f"out.{kind}"
        call = ["predict", str(home / "photos"), "-m", str(home / "models" / "rmn.safetensors")]
        done = CliRunner().invoke(cli.app, [*call, "--detector", "none", f"--{kind}", str(out)])
        assert done.exit_code == 3, done.output
        found = {source.rpartition("/")[2] for source in read(out)["source"]}
        assert found == {"good.png", *FINE}
        for reason in ODD.values():
            assert reason in done.stderr
        assert not list(tmp_path.glob(".*"))


def test_other_commands(home, called):
    odd, good = os.fsdecode(b"photos/caf\xe9.png"), "photos/zo\u00eb.png"
    people, detects = ("-m", "models/adacos.safetensors"), ("-m", "models/efficientnet.safetensors")
    done = called(home, "compare-faces", good, odd, *people, "--detector", "none")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"photos/caf\\udce9.png: its name is not readable" in done.stderr
    call = ("detect-manipulation", good, odd, "photos/good.png", *detects, "--detector", "none")
    done = called(home, *call)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 2)
    assert b"photos/zo\\xeb.png" in done.stdout
    done = called(home, *call, "--json")
    assert [each["source"] for each in json.loads(done.stdout)] == [good, "photos/good.png"]
    for form in ((), ("--json",)):
        done = called(home, "models", *form)
        assert done.returncode == 0
        assert done.stdout.count(b".safetensors") == 5  # four, and the package's own
    odd = os.fsdecode(b"models/caf\xe9.safetensors")
    command = [sys.executable, "-m", "fer_repro.cli", "predict", "photos/good.png", "-m", odd]
    done = subprocess.run(command, capture_output=True, cwd=home, env=ENVIRONMENT, check=False)
    assert done.returncode == 2
    assert b"not readable as safetensors" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("place", ["class", "image"])
def test_a_set_with_such_a_name_is_refused_in_one_line(home, called, tmp_path, place):
    name = os.fsdecode(b"caf\xe9")
    classes, image = (
        ("happy", name if place == "class" else "sad"),
        f"{name if place == 'image' else 'a'}.png",
    )
    for label in classes:
        (tmp_path / "set" / label).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "set" / label / image)
    done = called(tmp_path, "data", "add", "folder", "set")
    assert done.returncode == 2
    assert b"caf\\udce9" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "stores" / "folder").exists()


def test_models_and_videos_do_not_get_such_a_name(home, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    model = str(home / "models" / "rmn.safetensors")
    for name in (odd, f"{odd}.safetensors", f"{odd}.onnx"):
        done = CliRunner().invoke(cli.app, ["export", model, "--to", name])
        assert isinstance(done.exception, UserError)
        assert "the name is not UTF-8" in str(done.exception)
    video = write_video(tmp_path / "video.avi", np.zeros((3, 64, 64, 3), np.uint8))
    call = ["predict", str(video), "-m", model, "--detector", "none", "--csv", str(tmp_path / "a.csv")]
    done = CliRunner().invoke(cli.app, [*call, "--annotate", odd])
    assert "the name is not UTF-8" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["video.avi"]  # refused before anything was computed


def test_images_are_annotated_into_any_folder(home, tmp_path):
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    source = str(home / "photos" / "good.png")
    (row,) = list_inputs(source)
    table = pd.DataFrame([{"source": row.source, "face": -1, "note": "no face"}])
    assert annotate(table, out) == [out / "good.png"]
    assert (out / "good.png").is_file()
