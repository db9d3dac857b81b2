"""The stages of dvc.yaml: what they depend on, and what a change re-runs, with stubs in a small project."""

import ast
import json
from functools import cache
from pathlib import Path

import nbformat
import pytest
from stub_project import REPORT, ROOT, STAGES, Project, save_as_an_editor

from fer_repro.params import TASKS, enable_dataset, read_params
from fer_repro.pipeline import check_results
from fer_repro.stage_code import STAGES as CODE
from fer_repro.stage_code import code_digests

PARAMS = read_params(ROOT / "params.yaml")
STEPS = [
    (step, task, method)
    for task in TASKS
    for method in PARAMS.pipeline.tasks[task].methods
    for step in ("train", "evaluate")
] + [("prepare", "", "rmn"), ("compare", "", "rmn"), ("report", "", "rmn")]
# these carry numbers from place to place but do not make them
PLUMBING = {
    "fer_repro.errors",
    "fer_repro.files",
    "fer_repro.git",
    "fer_repro.config",
    "fer_repro.params",
    "fer_repro.project_files",
    "fer_repro.recipes",
    "fer_repro.sections",
    "fer_repro.stage_code",
    "fer_repro.spreadsheets",
    "fer_repro.terminal",
    "fer_repro.pipeline.notebooks",
    # what a person moves in JupyterLab; executed notebooks hold none of it
    *(
        f"fer_repro.inference.{name}"
        for name in ("explore", "explore_scores", "explore_widgets", "moved_faces", "own_face")
    ),
}
# what only draws in the notebook of a stage, or has re-run the stage before it already
MEASURING = ("classification", "predict", "regression", "saliency", "verification")
DRAWING = (
    "fer_repro/figures",
    "fer_repro/report",
    *(
        path.relative_to(ROOT).as_posix()
        for room in ("evaluation", "measures")
        for path in (ROOT / "fer_repro" / room).glob("*.py")
        if path.stem not in MEASURING
    ),
    "fer_repro/synthetic/factors.py",
)
TRAINING = ("fer_repro/loading", "fer_repro/training", "fer_repro/datasets/votes.py")
# a dry run cannot know whether what an earlier stage writes will differ, so it may leave these out
BEHIND = {"compare", "report"}
COMPARED = ("fer_repro/datasets", "fer_repro/loading", "fer_repro/synthetic", "fer_repro/training")  # in rows
ELSEWHERE = {
    "prepare": (*DRAWING, "fer_repro/measures"),
    "train": DRAWING,
    # story.py imports what single papers need; the notebooks that use it hash these methods as their own
    "evaluate": (*TRAINING, "fer_repro/methods/efficientnet.py", "fer_repro/methods/fan.py"),
    "compare": COMPARED,
}


@cache
def modules_of(path):
    """The fer_repro modules that a Python file, or a notebook's code, imports anywhere in its own text."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    else:
        text = path.read_text(encoding="utf-8")
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{item.name}" for item in node.names}
    return {name for name in found if name.startswith("fer_repro.") and file_of(name).is_file()}


@cache
def file_of(module):
    return ROOT / (module.replace(".", "/") + ".py")


def needed(start, elsewhere=()):
    """Everything reachable from the modules in ``start``, without the plumbing and what only that uses."""
    reached, waiting = set(), set(start)
    while waiting:
        module = waiting.pop()
        if module not in reached and module not in PLUMBING:
            reached.add(module)
            if uncovered({file_of(module).relative_to(ROOT).as_posix()}, elsewhere):
                waiting |= modules_of(file_of(module))
    return {file_of(module).relative_to(ROOT).as_posix() for module in reached}


def uncovered(files, dependencies):
    return {file for file in files if not any(f"{file}/".startswith(f"{one}/") for one in dependencies)}


@pytest.mark.parametrize(("stage", "task", "method"), STEPS)
def test_a_stage_depends_on_the_modules_it_uses(stage, task, method):
    name = f"{stage}-{task}" if task else stage
    definition = STAGES[name].get("do", STAGES[name])
    read = [text.replace("${item.method}", method) for text in definition["deps"]]
    code = f"{stage}-{{method}}" if task else stage
    assert f"inputs/code/{code.format(method=method)}.json" in read
    hashed = [f"fer_repro/{path}" for path in code_digests(CODE[code], method)]
    start = {f"fer_repro.methods.{method}"} if stage in ("train", "evaluate") else set()
    for text in read:
        if text.endswith(".ipynb"):
            start |= modules_of(ROOT / text.removeprefix("inputs/"))
    if stage == "prepare":
        drawn = ("stills", "challenge", "clips", "pairs", "forgeries", "engagement", "resampled", "smiles")
        start |= {f"fer_repro.synthetic.{kind}" for kind in drawn}  # imported by name
        start |= {"fer_repro.datasets.adapters.fer2013"}
    start |= {"train": {"fer_repro.pipeline.run"}, "report": {"fer_repro.report.html"}}.get(stage, set())
    elsewhere = ELSEWHERE.get(stage, ())
    assert not uncovered(needed(start, elsewhere), [*hashed, *elsewhere])


def test_the_first_stage_reads_all_code_that_it_hashes():
    hashed = {path for code in CODE.values() for path in code_digests(code, "rmn")}
    assert not uncovered({f"fer_repro/{path}" for path in hashed}, STAGES["inputs"]["deps"])


def test_every_pattern_of_code_names_files_and_templates_are_hashed():
    for stage, patterns in CODE.items():
        for pattern in patterns:
            assert code_digests([pattern], "rmn"), f"{stage}: {pattern}"
    assert {Path(path).suffix for path in code_digests(CODE["report"])} > {".py"}
    assert "methods/ran.py" not in code_digests(CODE["train-{method}"], "rmn")


def test_no_stage_depends_on_code_but_the_first():
    for name in STAGES.keys() - {"inputs"}:
        for text in STAGES[name].get("do", STAGES[name])["deps"]:
            assert not text.startswith(("fer_repro", "notebooks")), name


def test_data_and_training_never_depend_on_the_report():
    for stage in ("prepare", "train-{method}"):
        assert not [path for path in code_digests(CODE[stage], "rmn") if path.startswith("report/")]


def test_no_output_is_pushed_into_the_embedded_store():
    for name, stage in STAGES.items():
        definition = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            for output in definition.get(kind, []):
                ((path, options),) = output.items()
                assert options.get("push") is False or options.get("cache") is False, f"{name}: {path}"


@pytest.fixture
def restored(project):
    yield project
    project.call("git", "checkout", "-q", "--", ".")
    project.dvc("repro", "-q", "inputs")


def test_a_second_reproduction_runs_nothing(project):
    assert "Data and pipelines are up to date." in project.dvc("repro")
    assert (project.folder / "reports/index.html").is_file()


def test_a_change_of_one_recipe_reruns_that_method_only(restored):
    restored.change("params.yaml", "lr: 0.1", "lr: 0.2")
    assert restored.would_run() - BEHIND == {"inputs"}
    restored.dvc("repro", "inputs")
    expected = {"train-faces@synthetic-rmn-0", "train-faces@synthetic-rmn-1", "evaluate-faces@synthetic-rmn"}
    assert restored.would_run() - BEHIND == expected


def test_a_change_of_what_all_recipes_share_reruns_all(restored):
    restored.change("params.yaml", "clip_norm: 0.0", "clip_norm: 1.0")
    restored.dvc("repro", "inputs")
    runs = {f"train-faces@synthetic-{method}-{seed}" for method in ("rmn", "twin") for seed in (0, 1)}
    assert restored.would_run() - BEHIND == runs | {f"evaluate-faces@synthetic-{m}" for m in ("rmn", "twin")}


def test_saved_notebooks_rerun_one_stage_only(restored):
    for path in (restored.folder / "notebooks").glob("*.ipynb"):
        save_as_an_editor(path)
    assert set(json.loads(restored.dvc("status", "--json"))) == {"inputs"}
    assert restored.dvc("repro").count("Running stage") == 1
    assert json.loads(restored.dvc("status", "--json")) == {}


def test_a_changed_line_reruns_what_depends_on_it(restored):
    restored.change("notebooks/twin.ipynb", "print('twin')", "print('other')")
    restored.dvc("repro", "inputs")
    assert restored.would_run() - BEHIND == {"evaluate-faces@synthetic-twin"}


def test_a_recipe_reruns_those_that_take_over_from_it(restored):
    restored.change(
        "params.yaml", "      fer2013:\n        like: paper\n", "      fer2013:\n        like: synthetic\n"
    )
    restored.dvc("repro", "inputs")
    assert restored.would_run() - BEHIND == set()


def test_a_change_of_one_methods_file_reruns_that_method_only(restored):
    (restored.folder / "fer_repro/methods/twin.py").write_text("# changed\n")
    restored.dvc("repro", "inputs")
    trained = {"train-faces@synthetic-twin-0", "train-faces@synthetic-twin-1"}
    assert restored.would_run() - BEHIND == trained | {"evaluate-faces@synthetic-twin"}


def test_the_report_trains_nothing(restored):
    (restored.folder / "fer_repro/report/html.py").write_text(REPORT + "# changed\n")
    (restored.folder / "fer_repro/report/page.html").write_text("<p>")
    restored.dvc("repro", "inputs")
    evaluated = {f"evaluate-faces@synthetic-{method}" for method in ("rmn", "twin")}
    assert restored.would_run() - BEHIND == evaluated


def test_evaluation_settings_and_bytecode_train_nothing(restored):
    restored.change("params.yaml", "confidence: 0.9", "confidence: 0.8")
    cache = restored.folder / "fer_repro/training/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "loop.pyc").write_bytes(b"x")
    assert {name.partition("@")[0] for name in restored.would_run()} - BEHIND == {"inputs", "evaluate-faces"}


def test_an_added_set_reaches_neither_git_nor_the_store(project):
    assert "stores" not in project.call("git", "ls-files")
    blobs = [path.read_bytes() for path in (project.folder / "dvcstore").rglob("*") if path.is_file()]
    assert blobs
    assert b"a face" not in blobs
    with pytest.raises(AssertionError, match="ignored"):
        project.dvc("add", "stores/fer2013")


def test_a_stage_may_depend_on_an_added_sets_manifest(restored):
    enable_dataset(restored.folder / "params.yaml", "fer2013", ["faces"], "stores/fer2013/manifest.json")
    restored.dvc("repro", "prepare@fer2013")
    trained = {f"train-faces@fer2013-{method}-{seed}" for method in ("rmn", "twin") for seed in (0, 1)}
    assert restored.would_run("prepare", "train-faces") == trained
    (restored.folder / "stores/fer2013/manifest.json").write_text('{"name": "fer2013", "count": 2}')
    assert restored.would_run("prepare") == {"prepare@fer2013"}


def test_a_part_of_the_pipeline_is_verified_as_the_whole(restored, tmp_path, monkeypatch, capsys):
    """Absent products do not count, whichever stages have run; code, parameters and made files do."""
    restored.call("git", "clone", "-q", str(restored.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    for name in ("DVC_SITE_CACHE_DIR", "PATH"):
        monkeypatch.setenv(name, clone.environment[name])
    monkeypatch.chdir(clone.folder)
    assert check_results.outdated_stages() == []
    clone.dvc("pull", "data.dvc")
    clone.dvc("repro", "prepare@synthetic")
    assert check_results.outdated_stages() == []
    clone.dvc("repro", "train-faces@synthetic-rmn-0")
    assert check_results.outdated_stages() == []
    clone.dvc("repro", "train-faces")
    assert check_results.outdated_stages() == []
    clone.change("params.yaml", "lr: 0.1", "lr: 0.2")
    clone.dvc("repro", "train-faces")  # other numbers, which were not evaluated
    stale = [said.partition(":")[0] for said in check_results.outdated_stages()]
    assert "evaluate-faces@synthetic-rmn" in stale
    clone.call("git", "checkout", "-q", "params.yaml")
    clone.dvc("repro", "train-faces")
    assert check_results.outdated_stages() == []
    run = clone.folder / "runs/synthetic/rmn/0/main/metrics.json"
    text = run.read_text()
    run.unlink()
    run.write_text("[]")
    assert "train-faces@synthetic-rmn-0: runs/synthetic/rmn/0 modified" in check_results.outdated_stages()
    run.write_text(text)
    clone.change("fer_repro/methods/twin.py", "", "# another network")
    assert check_results.outdated_stages() == ["inputs: fer_repro/methods modified"]
    clone.dvc("repro", "inputs")
    stale = {said.partition(":")[0] for said in check_results.outdated_stages()}
    assert stale >= {"train-faces@synthetic-twin-0", "evaluate-faces@synthetic-twin", "compare"}
    (clone.folder / "fer_repro/methods/twin.py").write_text("")
    clone.dvc("repro", "inputs")
    assert check_results.outdated_stages() == []
    clone.change("params.yaml", "seeds:\n- 0", "seeds:\n- 7")
    assert "train-faces@synthetic-rmn-7" in " ".join(check_results.outdated_stages())


def test_text_has_one_form_on_every_system(project, tmp_path):
    """Git for Windows turns line ends; stages would all be other ones, as DVC hashes bytes."""
    command = ("git", "clone", "-q", "-c", "core.autocrlf=true", str(project.folder), str(tmp_path / "crlf"))
    project.call(*command)
    kept = [name for name in project.call("git", "ls-files").splitlines() if name != "dvc.lock"]
    for name in kept:  # other tests of this module move the lock
        assert (tmp_path / "crlf" / name).read_bytes() == (project.folder / name).read_bytes(), name


def test_metrics_plots_graph_and_experiments_work(restored):
    shown = json.loads(restored.dvc("metrics", "show", "--json"))
    (files,) = [entry["data"] for entry in shown.values()]
    assert files["results/measured/synthetic/rmn/headline.json"]["data"] == {"difference": 1.5}
    assert set(files) == {f"results/measured/synthetic/{method}/headline.json" for method in ("rmn", "twin")}
    restored.dvc("plots", "show", "-o", "dvc_plots")
    page = (restored.folder / "dvc_plots/index.html").read_text()
    assert '"val_accuracy"' in page
    assert '"predicted"' in page
    assert "train-faces@synthetic-rmn-1" in restored.dvc("dag", "--dot")
    restored.dvc(
        "exp", "run", "-S", "methods.twin.recipes.synthetic.epochs=3", "train-faces@synthetic-twin-0"
    )
    assert '"epochs": 3' in (restored.folder / "runs/synthetic/twin/0/main/metrics.json").read_text()


def test_a_fresh_clone_is_verified_without_running_and_reproduced_with_pulled_data(project, tmp_path):
    project.call("git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert clone.would_run() == set()
    assert not (clone.folder / "data").exists()
    clone.dvc("pull", "data.dvc")
    ran = clone.dvc("repro")
    assert ran.count("Running stage 'train-faces@") == 4
    assert clone.call("git", "status", "--porcelain", "--", "results", "dvc.lock") == ""
