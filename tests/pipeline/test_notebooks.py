"""The notebook runner, on stub notebooks that need no torch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from fer_repro.errors import UserError
from fer_repro.files import parse_pairs
from fer_repro.pipeline import notebooks

PARAMETERS = "seed = 0\nmethod = 'rmn'\nrate = 0.1\nflag = False\nitems = None\noverrides = {}"


def write_notebook(name, *cells, parameters=PARAMETERS):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    if parameters:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    Path("notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, f"notebooks/{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_notebook("train", "print(seed, rate)")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("1e-3", 0.001),
        ("007", 7),
        ("no", "no"),
        ("rmn", "rmn"),
        ("", ""),
        ("a=b", "a=b"),
        ("'7'", "7"),
        ("{recipe.epochs: 3}", {"recipe.epochs": 3}),
    ],
)
def test_parameters_mean_what_they_look_like(text, value):
    (parsed,) = parse_pairs([f"key={text}"], "-p").values()
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "pairs", [["seed"], ["=3"], ["a b=3"], ["seed=1", "seed=2"], ["seed=[1"], ["seed=\x00"]]
)
def test_a_pair_that_is_none_is_refused(pairs):
    with pytest.raises(UserError, match="-p "):
        parse_pairs(pairs, "-p")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sede": 1}, "unknown parameter 'sede'; did you mean 'seed'"),
        ({"seed": "1"}, "'seed' is '1' .str.: expected int"),
        ({"seed": True}, "'seed' is True .bool.: expected int"),
        ({"flag": "no"}, "expected bool, as its default False"),
        ({"method": 3}, "expected str, .* write method='\"3\"' for a text"),
        ({"overrides": []}, "expected dict"),
    ],
)
def test_unknown_and_mistyped_parameters_are_errors_before_anything_starts(project, parameters, message):
    with pytest.raises(UserError, match=message):
        notebooks.run_notebook("train", parameters)
    assert not Path("executed").exists()


def test_a_whole_number_may_stand_for_a_float_and_anything_for_none(project):
    checked = notebooks.check_parameters(Path("notebooks/train.ipynb"), {"rate": 1, "items": [1]})
    assert checked == {"rate": 1.0, "items": [1]}
    assert isinstance(checked["rate"], float)


def test_an_unknown_notebook_names_the_nearest(project):
    with pytest.raises(UserError, match="did you mean 'train'"):
        notebooks.run_notebook("trian", {})


def test_the_notebook_itself_is_never_overwritten(project):
    with pytest.raises(UserError, match="other than the notebook itself"):
        notebooks.run_notebook("train", {}, Path("notebooks/../notebooks/train.ipynb"))


def test_a_copy_that_dvc_made_for_an_experiment_finds_the_added_sets(project, tmp_path, monkeypatch, capsys):
    """`dvc exp run --temp` and `--queue` copy what git and DVC know: no added set."""
    home, copy = tmp_path / "home", tmp_path / "home/.dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    (home / "stores/folder-mine").mkdir(parents=True)
    (home / "stores/folder-mine/manifest.json").write_text("{}")
    monkeypatch.chdir(copy)
    for _ in range(2):
        assert notebooks.main(["run", "nothing"]) == 2
        assert (copy / "stores/folder-mine/manifest.json").read_text() == "{}"
    monkeypatch.chdir(home / "stores")
    assert notebooks.main(["run", "nothing"]) == 2
    assert [path.name for path in (home / "stores").iterdir()] == ["folder-mine"]
    capsys.readouterr()


def test_two_runs_give_the_same_bytes(project, capfd):
    noise = "import sys, time, warnings\nprint(time.time(), file=sys.stderr)\nwarnings.warn('noise')"
    late = "for i in range(3):\n    print('epoch', i, flush=True)\n    time.sleep(0.05)"
    write_notebook("train", noise, late, "print(set('abcdefg'), object())", "object()")
    first = notebooks.run_notebook("train", {"seed": 3, "method": "rmn"})
    before = first.read_bytes()
    second = notebooks.run_notebook("train", {"seed": 3, "method": "rmn"})
    assert first == second == Path("executed/train-rmn-3.ipynb")
    assert second.read_bytes() == before
    assert [path.name for path in Path("executed").iterdir()] == ["train-rmn-3.ipynb"]
    nbformat.validate(nbformat.read(first, as_version=4))
    seen = capfd.readouterr()
    assert "epoch 0\nepoch 1\nepoch 2\n" in seen.out  # progress, while it runs
    assert "noise" in seen.err


def test_a_failing_cell_shows_its_traceback_and_keeps_the_notebook(project, capsys):
    write_notebook("train", "print('hello')", "def f():\n    raise ValueError('boom')\nf()", "print('never')")
    assert notebooks.main(["run", "train", "--out", "executed/deep/x.ipynb"]) == 1
    shown = capsys.readouterr().err
    assert "ValueError: boom" in shown
    assert "raise ValueError('boom')" in shown
    assert "\x1b[" not in shown  # no colours in a log
    assert [path.name for path in Path("executed/deep").iterdir()] == ["x.failed.ipynb"]


def test_a_users_mistake_in_the_kernel_is_one_line(project, capsys):
    write_notebook(
        "train", "from fer_repro.errors import UserError\nraise UserError('params.yaml: no such key')"
    )
    assert notebooks.main(["run", "train"]) == 1
    assert capsys.readouterr().err == "fer-repro: params.yaml: no such key\n"
    assert not Path("executed/train.ipynb").exists()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("OSError(28, 'No space left on device', 'rows.csv')", "No space left on device: 'rows.csv'"),
        ("RuntimeError('PytorchStreamWriter failed writing file data/3: file write failed')", "data/3"),
        ("OSError('1024 requested and 0 written')", "1024 requested"),
    ],
)
def test_a_full_disk_is_told_without_a_traceback(project, capsys, raised, said):
    write_notebook("train", f"raise {raised}")
    assert notebooks.main(["run", "train"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("fer-repro: cell 2: ")
    assert said in shown
    assert "(is the disk full, or protected?)" in shown
    assert "Traceback" not in shown


def test_a_clock_that_is_set_forward_costs_a_second_start(project, monkeypatch):
    import papermill

    starts, late = [], RuntimeError("Kernel didn't respond in 600 seconds")

    def execute(*arguments, **options):
        starts.append(options["start_timeout"])
        if len(starts) == 1:
            raise late
        return original(*arguments, **options)

    original = papermill.execute_notebook
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    write_notebook("train", "print('done')")
    notebooks.run_notebook("train", {})
    assert starts == [600, 600]
    starts.clear()
    monkeypatch.setattr(notebooks, "KERNEL_SECONDS", -1)  # the kernel was late indeed
    with pytest.raises(RuntimeError, match="didn't respond"):
        notebooks.run_notebook("train", {})
    assert len(starts) == 1


def test_a_folder_that_cannot_be_written_is_one_line(project, capsys):
    Path("executed").touch()
    assert notebooks.main(["run", "train"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("fer-repro: [Errno 17] File exists: 'executed'")
    assert shown.count("\n") == 1


def test_a_users_mistake_on_the_command_line_exits_2(project, capsys):
    assert notebooks.main(["run", "train", "-p", "sead=3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_kernel_that_dies_is_an_error(project):
    write_notebook("train", "import os\nos._exit(3)")
    with pytest.raises(notebooks.CellError, match="memory"):
        notebooks.run_notebook("train", {})


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_kernel_outlives_its_runner(project, number):
    write_notebook("train", "import time\nprint('started', flush=True)\ntime.sleep(60)")
    command = [sys.executable, "-m", "fer_repro.pipeline.notebooks", "run", "train"]
    root = Path(notebooks.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # shells ignore it for what runs behind
    ) as runner:
        assert runner.stdout.readline() == b"started\n"
        kernels = psutil.Process(runner.pid).children(recursive=True)
        assert kernels
        runner.send_signal(number)
        runner.stdout.read()
        deadline = time.monotonic() + 10
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in kernels):
            assert time.monotonic() < deadline, "the kernel lives on"
            time.sleep(0.05)
    assert runner.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert not Path("executed/train.ipynb").exists()
