import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_repro import cli

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "data"))
from miniature_fer2013 import make_rows, write_csv  # noqa: E402


@pytest.fixture
def fer(monkeypatch, capsys):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-repro", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out = capsys.readouterr()
        return exit_.value.code or 0, out.out, out.err

    return call


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the project's params.yaml and a miniature fer2013.csv beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_csv(tmp_path / "raw" / "fer2013.csv", make_rows())
    monkeypatch.chdir(folder)
    return folder


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_add_doctor_list(fer, project):
    code, out, err = fer("data", "add", "fer2013", "../raw/fer2013.csv")
    assert code == 0
    assert "labels: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral" in out
    assert "train angry: 3 samples, official 3995 (-3992)" in out
    assert "do not publish them again" in out
    assert "35 of 35 images" in err
    code, out, err = fer("data", "doctor", "fer2013")
    assert (code, err) == (1, "")
    assert "distinct images: 33, official 34034" in out
    code, out, err = fer("data", "doctor", "fer2013", "--json")
    assert code == 1
    assert json.loads(out)["counts"]["val"] == [1] * 7
    code, out, err = fer("data", "list")
    assert code == 0
    assert "35 samples in stores/fer2013" in out
    assert "synthetic" in out


def test_the_next_step_is_the_exact_edit(fer, project):
    _, out, _ = fer("data", "add", "fer2013", "../raw/fer2013.csv")
    assert out.endswith(
        "Next: in params.yaml add\n  to pipeline.datasets: {fer2013: stores/fer2013/manifest.json}\n"
        "  to pipeline.faces.datasets: fer2013\n"
        "(with --enable this command does it), then run: dvc repro\n"
    )
    before = (project / "params.yaml").read_text()
    _, out, _ = fer("data", "add", "fer2013", "../raw/fer2013.csv", "--force", "--enable")
    assert out.endswith("params.yaml: added to pipeline.faces\nNext: dvc repro\n")
    made = (project / "params.yaml").read_text()
    assert made.count("\n") == before.count("\n") + 2
    assert "    fer2013: stores/fer2013/manifest.json\n  faces:" in made
    assert "    datasets:\n    - synthetic\n    - fer2013\n    methods:\n    - rmn\n" in made
    for further in ((), ("--enable",)):
        _, out, _ = fer("data", "add", "fer2013", "../raw/fer2013.csv", "--force", *further)
        assert out.rstrip().splitlines()[-1] == "Next: dvc repro"
    _, out, _ = fer("data", "list")
    assert re.search(r"^fer2013 +in the pipeline  35 samples", out, re.MULTILINE)
    assert re.search(r"^synthetic_forgeries +in the pipeline  part of", out, re.MULTILINE)


def test_a_mistake_in_params_is_told_before_anything_is_added(fer, project):
    (project / "params.yaml").write_text("seeds: []\n")
    code, _, err = fer("data", "add", "fer2013", "../raw/fer2013.csv", "--enable")
    assert (code, "params.yaml" in err) == (2, True)
    assert not (project / "stores").exists()


def test_doctor_is_content_with_an_official_set(fer, project, monkeypatch):
    from fer_repro.datasets import adding
    from fer_repro.datasets.adapters import fer2013
    from fer_repro.datasets.audit import Official

    fer("data", "add", "fer2013", "../raw/fer2013.csv")
    found = adding.examine(adding.open_added("fer2013", Path("stores")))
    official = Official(found.counts, found.facts, found.fingerprint)
    monkeypatch.setattr(fer2013, "DATASET", replace(fer2013.DATASET, official=official))
    code, out, _ = fer("data", "doctor", "fer2013")
    assert code == 0
    assert "Everything is as in the official set." in out


def cut(text):
    return text[:-4000]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "row 34 (line 36): 2 columns: expected 3; is the file cut off here?"),
        (lambda text: text.replace("PublicTest", "PublikTest", 1), "row 21 (line 23): Usage is 'PublikTest'"),
        (lambda text: "", "the file is empty"),
        (lambda text: re.sub(r" \d+,", ",", text, count=1), "row 0 (line 2): 2303 pixels: expected 2304"),
        (lambda text: text.replace("\n1,", "\n9,", 1), "emotion is '9': expected 0 to 6"),
        (lambda text: re.sub(r"[\d ]+,(?=[TP])|pixels,", "", text), "column 'pixels' is missing"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_bad_input_is_one_line_and_changes_nothing(fer, project, damage, message, force):
    if force:
        fer("data", "add", "fer2013", "../raw/fer2013.csv")
    before = files_below(project)
    raw = project.parent / "raw" / "fer2013.csv"
    raw.write_text(damage(raw.read_text()))
    code, out, err = fer("data", "add", "fer2013", raw, *(["--force"] if force else []))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert files_below(project) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "add", "fer2014", "x"), "data set 'fer2014' is unknown; did you mean 'fer2013'?"),
        (("data", "add", "fer2013", "x"), "x: no such file or folder; expected fer2013.csv"),
        (("data", "doctor", "fer2013"), "was not added yet, run: fer-repro data add fer2013 PATH"),
        (("data", "list", "--params", "none.yaml"), "none.yaml: no such file"),
        (("data", "ad"), "No such command 'ad'"),
        (("data", "add", "fer2013"), "Missing argument"),
    ],
)
def test_mistakes_exit_with_2(fer, project, arguments, message):
    code, out, err = fer(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_wrong_folder_is_told_with_the_right_one(fer, project, monkeypatch):
    below = project / "notes"
    below.mkdir()
    monkeypatch.chdir(below)
    code, _, err = fer("data", "list")
    assert code == 2
    assert f"params.yaml: no such file; it lies in {project}" in err
    monkeypatch.chdir(project.parent)
    code, _, err = fer("data", "list")
    assert (code, err.startswith("note: no params.yaml here: the package's own is read")) == (0, True)


def test_verify_outside_the_project_says_where_to_start(fer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = fer("verify")
    assert code == 2
    assert "start in the project's top folder" in err
    assert "Traceback" not in err


def test_a_missing_model_is_told_with_the_training_of_its_kind(fer, project):
    Image.new("RGB", (8, 8)).save(project / "a.png")
    for arguments, example in (
        (("predict", "a.png"), "fer-repro train rmn synthetic`"),
        (("compare-faces", "a.png", "a.png"), "fer-repro train adacos synthetic_pairs`"),
        (("detect-manipulation", "a.png"), "fer-repro train efficientnet synthetic_forgeries`"),
    ):
        code, _, err = fer(*arguments)
        assert code == 2
        assert example in err


def test_an_existing_set_stays(fer, project):
    fer("data", "add", "fer2013", "../raw/fer2013.csv")
    before = files_below(project)
    code, _, err = fer("data", "add", "fer2013", "../raw/fer2013.csv")
    assert code == 2
    assert "stores/fer2013 exists already; nothing was changed (--force replaces it)" in err
    assert files_below(project) == before


def test_a_damaged_set_is_reported(fer, project):
    fer("data", "add", "fer2013", "../raw/fer2013.csv")
    path = project / "stores" / "fer2013" / "images.npy"
    np.save(path, np.zeros((35, 48, 48), np.uint8))
    code, _, err = fer("data", "doctor", "fer2013")
    assert code == 2
    assert "images.npy: sha256 is" in err
    path.unlink()
    code, out, _ = fer("data", "list")
    assert code == 0
    assert "damaged: " in out


def test_ctrl_c_exits_with_130_and_leaves_nothing(fer, project, monkeypatch):
    from fer_repro.datasets.store import StoreWriter

    def interrupt(self, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(StoreWriter, "append", interrupt)
    code, _, err = fer("data", "add", "fer2013", "../raw/fer2013.csv")
    assert code == 130
    assert "Traceback" not in err
    assert not any((project / "stores").iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind neither Windows nor root")
def test_no_permission_is_one_line(fer, project):
    project.chmod(0o500)
    code, _, err = fer("data", "add", "fer2013", "../raw/fer2013.csv")
    project.chmod(0o700)
    assert code == 2
    assert "Permission denied" in err


def test_train_takes_the_added_set_and_dotted_settings(fer, project):
    assert fer("data", "add", "fer2013", project.parent / "raw" / "fer2013.csv")[0] == 0
    code, out, _ = fer("train", "rmn", "fer2013", "--smoke", "-s", "recipe.tta_copies=1")
    assert code == 0
    assert "masked" in out
    config = json.loads((project / "scratch/runs/fer2013/rmn/0/masked/config.json").read_text())
    assert config["recipe"]["tta_copies"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rnm", "fer2013"), "did you mean 'rmn'?"),
        (("rmn", "fer2031"), "did you mean 'fer2013'?"),
        (("rmn", "fer2013"), "was not added yet"),
        (("rmn", "fer2013", "-s", "recipe.epoch=3"), "did you mean 'epochs'?"),
        (("rmn", "fer2013", "-s", "recipe.epochs"), "expected key=value"),
        (("rmn", "fer2013", "--recipe", "papr"), "did you mean 'paper'?"),
    ],
)
def test_train_names_the_mistake_in_one_line(fer, project, arguments, said):
    code, _, err = fer("train", *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 6 ", "epoch: 6 ", "did you mean 'epochs'?"),
        ("epochs: 6 ", "epochs: six ", "epochs is 'six': input should be a valid integer"),
        ("threads: ", "thread: ", "did you mean 'threads'?"),
    ],
)
def test_a_mistake_in_the_parameters_is_one_line_and_starts_nothing(fer, project, old, new, said):
    params = project / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new, 1))
    before = files_below(project)
    code, out, err = fer("train", "rmn", "synthetic")
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("fer-repro: params.yaml: ")
    assert err.count("\n") == 1
    assert files_below(project) == before


@pytest.mark.parametrize("arguments", [(), ("data",), ("data", "add"), ("data", "doctor"), ("data", "list")])
def test_help_teaches(fer, arguments):
    code, out, _ = fer(*arguments, "--help")
    assert code == 0
    assert "Usage: fer-repro" in out
    if len(arguments) == 2:
        assert f"Example: fer-repro data {arguments[1]}" in out


def test_help_and_the_package_load_nothing_heavy():
    """What keeps `fer-repro --help` below half a second and `import fer_repro` below a fifth."""
    code = "import sys, fer_repro, fer_repro.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "numpy", "pandas", "pydantic", "PIL", "matplotlib", "lightning", "yaml"}
    assert not heavy & set(loaded.split())


def test_folders_of_any_size_under_a_name_of_their_own(fer, project):
    for name in ("glad", "angry"):
        for number in range(12):
            file = project / "mine" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20 + number, 30), 10 * number, np.uint8)).save(file)
    code, _, err = fer("data", "add", "folder-office", "mine")
    assert code == 2
    assert "--size N" in err
    code, out, _ = fer("data", "add", "folder-office", "mine", "--size", "16")
    assert code == 0
    assert "labels: 0 angry, 1 glad" in out
    assert out.rstrip().endswith(
        "No stage trains on it: data set 'folder-office' has no sample of split val: "
        "expected some of train, val and test."
    )
    assert "subjects are unknown" in out
    assert fer("data", "doctor", "folder-office")[0] == 0
    _, out, _ = fer("data", "list")
    assert "24 samples in stores/folder-office" in out
    assert "not added yet: fer-repro data add ferplus PATH" in out


def test_a_finished_run_is_trained_anew_only_by_force(fer, project):
    """A killed call of the same configuration continues; no other may write over what is there."""
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv")[0] == 0
    command = ("train", "rmn", "fer2013", "--smoke")
    assert fer(*command)[0] == 0
    before = files_below(project)
    arm = "scratch/runs/fer2013/rmn/0/masked"
    for more in ((), ("-s", "recipe.epochs=2")):
        code, out, err = fer(*command, *more)
        assert (code, out) == (2, "")
        assert err == (
            f"fer-repro: {arm} exists already; nothing was changed "
            "(--force trains it anew, --out writes elsewhere)\n"
        )
        assert files_below(project) == before
    (project / "scratch/ckpt/fer2013/rmn/0").mkdir(parents=True)  # a killed call leaves its state
    assert fer(*command)[0] == 0
    (project / "scratch/ckpt/fer2013/rmn/0").mkdir(parents=True)
    assert fer(*command, "-s", "recipe.epochs=2")[0] == 2
    assert fer(*command, "-s", "recipe.tta_copies=1", "--force")[0] == 0
    assert json.loads((project / arm / "config.json").read_text())["recipe"]["tta_copies"] == 1


def test_runs_on_other_data_of_one_name_are_never_taken_together(fer, project):
    """Labels are corrected, the set is added again, one more seed is trained: two data sets of one name."""
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv")[0] == 0
    assert fer("train", "rmn", "fer2013", "--smoke")[0] == 0
    labels, *others = make_rows()
    write_csv(project.parent / "raw" / "fer2013.csv", ([(label + 1) % 7 for label in labels], *others))
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv", "--force")[0] == 0
    assert fer("train", "rmn", "fer2013", "--smoke", "--seed", "1")[0] == 0
    for seeds in (("--seed", "0", "--seed", "1"), ("--seed", "0")):
        code, out, err = fer("evaluate", "rmn", "fer2013", *seeds)
        assert (code, out) == (2, "")
        assert (
            "scratch/runs/fer2013/rmn/0/masked: was trained on other data than scratch/prepared/fer2013"
            in err
        )
        assert "other samples" in err
    assert not (project / "scratch/results/measured").exists()
    assert fer("evaluate", "rmn", "fer2013", "--seed", "1")[0] == 0


def test_a_model_never_sees_its_faces_as_another_sets(fer, project):
    """A run says by its images' digest that the set of its name is another one now."""
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv")[0] == 0
    assert fer("train", "rmn", "fer2013", "--smoke")[0] == 0
    run = "scratch/runs/fer2013/rmn/0/masked"
    for path in (project / "stores", project / "scratch/prepared"):
        manifest = path / "fer2013/manifest.json"
        values = json.loads(manifest.read_text())
        values["channels"], values["images"]["sha256"] = 3, "0" * 64
        manifest.write_text(json.dumps(values))
    code, _, err = fer("export", run, "--to", "m.safetensors")
    assert code == 2
    assert "scratch/prepared/fer2013/manifest.json holds other images than it was trained on" in err
    assert "--colour grey --face-size 48" in err
    assert fer("export", run, "--to", "m.safetensors", "--colour", "grey", "--face-size", "48")[0] == 0


def test_one_seed_gives_a_card_without_interval(fer, project):
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv")[0] == 0
    assert fer("train", "rmn", "fer2013", "--smoke")[0] == 0
    assert fer("evaluate", "rmn", "fer2013", "--seed", "0")[0] == 0
    run = "scratch/runs/fer2013/rmn/0/masked"
    assert fer("export", run, "--to", "m.safetensors")[0] == 0
    text = (project / "m.md").read_text()
    assert "none: one seed gives no interval" in text
    assert "nan" not in text

    rows = project / "scratch/results/measured/fer2013/rmn/rows.csv"
    rows.write_text(rows.read_text().replace("accuracy,%,", "accuracy,%,9"))  # as of another run of that name
    code, _, err = fer("export", run, "--to", "other.safetensors")
    assert code == 0
    assert (
        "scratch/results/measured/fer2013/rmn: holds results of another run than scratch/runs/fer2013/rmn/0"
        in err
    )
    assert "No intervals" in (project / "other.md").read_text()


def test_training_prepares_nothing_over_a_folder_of_the_user(fer, project):
    fer("data", "add", "fer2013", "../raw/fer2013.csv")
    mine = project / "mine/prepared/fer2013/thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("of the user")
    before = files_below(project)
    code, _, err = fer("train", "rmn", "fer2013", "--smoke", "--out", "mine/runs")
    assert code == 2
    assert "mine/prepared/fer2013 exists already and holds no prepared data set; nothing was changed" in err
    assert err.count("\n") == 1
    assert files_below(project) == before


def test_a_page_is_written_over_a_file_only_by_force(fer, project):
    page = project / "thesis.html"
    page.write_text("of the user")
    code, _, err = fer("report", "--out", "thesis.html")
    assert (code, page.read_text()) == (2, "of the user")
    assert err == "fer-repro: thesis.html exists already; nothing was changed (--force replaces it)\n"


def test_a_run_is_trained_by_one_process_at_a_time(fer, project):
    from fer_repro.files import one_writer

    fer("data", "add", "fer2013", "../raw/fer2013.csv")
    with one_writer(Path("scratch/runs/fer2013/rmn/0")):
        code, _, err = fer("train", "rmn", "fer2013", "--smoke")
    assert code == 2
    said = "scratch/runs/fer2013/rmn/0 is being written by another process; nothing was changed"
    assert err == f"fer-repro: {said}\n"
    assert not (project / "scratch/prepared").exists()


def test_the_version_is_the_packages(fer):
    import fer_repro

    assert fer("--version") == (0, f"fer-repro {metadata.version('fer-repro')}\n", "")
    assert fer_repro.__version__ == metadata.version("fer-repro")


@pytest.mark.parametrize(
    ("setting", "said", "loads"),
    [
        (("--recipe", "papr"), "did you mean 'paper'?", False),
        (("-s", "recipe.epoch=3"), "did you mean 'epochs'?", False),
        (("-s", "runtime.device=cuda"), "'cuda', but PyTorch finds none", True),
    ],
)
def test_mistakes_are_told_before_heavy_imports(project, setting, said, loads):
    code = (
        "import sys\nfrom fer_repro import cli\n"
        f"sys.argv = {['fer-repro', 'train', 'rmn', 'fer2013', *setting]!r}\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print(*sorted({'torch', 'lightning', 'cv2', 'pandas'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert said in done.stderr
    assert done.stdout.split() == (["torch"] if loads else [])


def test_params_name_what_finds_the_faces_of_videos(fer, project):
    params = project / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "\ndetector: cascade\n" in text
    params.write_text(text.replace("detector: cascade", "detector: yunet:none.onnx"), encoding="utf-8")
    code, _, err = fer("data", "add", "ffpp", "../raw")
    assert code == 2
    assert "none.onnx: no such file; expected YuNet's network" in err
    assert fer("data", "add", "fer2013", "../raw/fer2013.csv", "--force")[0] == 0  # no faces are searched for
    params.write_text(text.replace("detector: cascade", "detector: [yunet]"), encoding="utf-8")
    code, _, err = fer("data", "add", "ffpp", "../raw")
    assert (code, "detector is ['yunet']: input should be a valid string" in err) == (2, True)
