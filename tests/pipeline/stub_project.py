"""A small repository with the real dvc.yaml and stubs for its stages: two methods, two seeds."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from small_pipeline import pipeline_of
from warm_python import DVC, WarmPython

from fer_repro.files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STUB = '''
"""Stands in for the notebook runner: writes what each stage's outputs are, from its parameters alone."""
import json, sys
from pathlib import Path
import yaml

name, *rest = sys.argv[2:]
out = Path(rest.pop(rest.index("--out") + 1))
values = dict(item.split("=", 1) for item in rest if "=" in item)
params = yaml.safe_load(Path("params.yaml").read_text())
out.parent.mkdir(exist_ok=True)
out.write_text(json.dumps([name, values]))

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

if name == "data":
    assert Path(values["manifest"]).is_file()
    write(values["out"] + "/manifest.json", Path(values["manifest"]).read_text())
elif name == "train":
    section = params["methods"][values["method"]]
    assert Path("prepared", values["dataset"]).is_dir()
    run = Path(values["out"], values["dataset"], values["method"], values["seed"])
    for arm in section["arms"]:
        write(run / arm / "metrics.json", json.dumps([values, section["recipes"]]))
elif name == "comparison":
    write(values["out"] + "/ledger.csv", "claim\\n")
else:
    folder = Path(values["out"], values["dataset"], name)
    arm = params["methods"][name]["arms"][0]
    write(folder / "rows.csv", "method,arm\\n" + name + "," + arm + "\\n")
    write(folder / "metrics.json", json.dumps({arm: {"accuracy": 0.5}}))
    write(folder / "headline.json", json.dumps({"difference": 1.5}))
    write(folder / "curves.csv", "arm,seed,epoch,val_accuracy\\n" + arm + ",0,1,0.5\\n")
    write(folder / "intervals.csv", "method,arm\\n")
    write(folder / "confusion.csv", "sample,target,predicted\\n0,happy,sad\\n")
'''
INPUTS = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "fer_repro"]:
    del sys.modules[name]  # this folder's stubs
sys.path.insert(0, {root!r})
from pathlib import Path
from fer_repro import stage_code
from fer_repro.pipeline.inputs import _main as main
stage_code.PACKAGE = Path("fer_repro").absolute()
sys.exit(main([]))
"""
REPORT = """
from pathlib import Path
Path("reports").mkdir(exist_ok=True)
Path("reports/index.html").write_text("<p>")
Path("reports/sources.json").write_text("{}")
"""


@functools.cache
def warm_dvc():
    """DVC's own processes, which need not import it."""
    warm = WarmPython(DVC, None)
    atexit.register(warm.end)
    return warm


class Project:
    """A small repository with the real dvc.yaml and stubs for its stages: two methods, two seeds."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def call(self, *command):
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True)
        return self._said(done)

    def dvc(self, *command):
        return self._said(warm_dvc().call(self.folder, *command, environment=self.environment))

    @staticmethod
    def _said(done):
        assert done.returncode == 0, f"{done.args}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def would_run(self, *stages):
        lines = self.dvc("repro", "--dry", "--pull", "--allow-missing", *stages).splitlines()
        return {line.split("'")[1] for line in lines if line.startswith("Running stage")}

    def change(self, name, old, new):
        """Put another file in its place: git overlooks a change of equal size in a checkout's second."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        other = path.with_name(f"{path.name}.new")
        other.write_text(text.replace(old, new, 1))
        other.replace(path)


def write_notebook(path, *sources):
    """Write a notebook of some code cells, as git keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(sources)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def save_as_an_editor(path):
    """Save a notebook as editors do after a run: outputs, counts, times, another kernel's name, other ids."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1", "file_extension": ".py"}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"new-{number}"
        if cell.cell_type == "code":
            cell.update(execution_count=number, outputs=[nbformat.v4.new_output("stream", text="done")])
            cell.metadata.update(collapsed=True, execution={"iopub.status.busy": "2026-01-01T00:00:00Z"})
    notebook.cells.append(nbformat.v4.new_code_cell("", id="empty"))
    nbformat.write(notebook, path)


def make_project(folder):
    """Make it in the empty ``folder``: all in git, all stages up to date, data/ in the embedded store."""
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".gitattributes"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    names = {text for stage in STAGES.values() for text in stage.get("do", stage)["deps"]}
    for text in sorted(names | {"fer_repro/methods/${item.method}.py"}):
        for method in ("rmn", "twin"):
            text = text.removeprefix("inputs/")
            path = folder / text.replace("${item.method}", method)
            if path.suffix == ".ipynb":
                write_notebook(path, f"print({path.stem!r})")
            elif text.startswith(("docs/", "fer_repro", "results/published", "results/records")):
                (path if not path.suffix else path.parent).mkdir(parents=True, exist_ok=True)
                (path if path.suffix else path / "part.py").touch()
    (folder / "fer_repro/pipeline/notebooks.py").write_text(STUB)
    (folder / "fer_repro/pipeline/inputs.py").write_text(INPUTS.format(root=str(ROOT)))
    (folder / "fer_repro/report/html.py").write_text(REPORT)
    params = read_yaml(ROOT / "params.yaml")
    paper, recipe = (params["methods"]["rmn"]["recipes"][name] for name in ("paper", "synthetic"))
    recipe["epochs"], recipe["optimiser"]["lr"] = 2, 0.1
    method = {
        "arms": ["main", "control"],
        "recipes": {"paper": paper, "synthetic": recipe, "fer2013": recipe},
    }
    params["pipeline"] = pipeline_of("faces", ["rmn", "twin"], synthetic="data/synthetic/manifest.json")
    params["full"] = pipeline_of()
    params["data"] = {"default": params["data"]["default"]}
    params["methods"] = dict.fromkeys(("rmn", "twin"), method)
    params["seeds"], params["further_seeds"] = [0, 1], [0, 1]
    params["evaluation"]["confidence"] = 0.9
    plain = json.loads(json.dumps(params))  # no YAML aliases
    (folder / "params.yaml").write_text(yaml.dump(plain, sort_keys=False))
    (folder / "data/synthetic").mkdir(parents=True)
    (folder / "data/synthetic/manifest.json").write_text("{}")
    (folder / "stores/fer2013").mkdir(parents=True)
    (folder / "stores/fer2013/manifest.json").write_text('{"name": "fer2013"}')
    (folder / "stores/fer2013/images.npy").write_bytes(b"a face")
    made = Project(folder)
    made.call("git", "init", "-q")
    made.dvc("add", "data")
    made.dvc("repro")
    made.dvc("push", "data.dvc")
    made.call("git", "add", "-A")
    made.call("git", "commit", "-qm", "all")
    return made


def make_clone(project, folder):
    """Clone it into ``folder``, with its data: nothing of what stages make is there."""
    project.call("git", "clone", "-q", str(project.folder), str(folder / "clone"))
    made = Project(folder / "clone")
    made.dvc("pull", "data.dvc")
    return made
