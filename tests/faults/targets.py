"""What is struck: a stub loop, the notebook runner around it, a sweep with DVC, and the real stages."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import yaml
from PIL import Image
from small_pipeline import pipeline_of
from strikes import Target
from stub_project import ROOT, STUB, make_project

from fer_repro.files import read_yaml

HERE = Path(__file__).parent
PYTHON = sys.executable
QUIET = {"PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NOTEBOOKS = (PYTHON, "-m", "fer_repro.pipeline.notebooks", "run")
SWEEP = """
import sys
sys.path.insert(0, {root!r})  # before the working folder, whose package is a stub
from fer_repro.pipeline.sweep import _main as main
sys.exit(main())
"""
OUTPUT = "Path(path).write_text(text)"
ATOMIC = """half = Path(path).with_name(f".{Path(path).name}.tmp")
    half.write_text(text)
    half.replace(path)"""


def loop(place):
    """The stub loop, in a bare Python."""
    place.mkdir()
    command = [PYTHON, str(HERE / "stub_loop.py"), "."]
    return Target("loop", command, place, ("runs/**/*", "results/measured/*"), QUIET, ("runs/stub",))


def runner(place):
    """The notebook runner with the stub loop in a cell."""
    (place / "notebooks").mkdir(parents=True)
    cell = nbformat.v4.new_code_cell(
        "from pathlib import Path\n\nimport stub_loop\n\nstub_loop.main(Path())\nprint('done')"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, place / "notebooks/stub.ipynb")
    products = ("runs/**/*", "results/measured/*", "executed/*")
    return Target("runner", [*NOTEBOOKS, "stub"], place, products, QUIET, ("runs/stub",))


def sweep(place):
    """A sweep with DVC over the real dvc.yaml, and stubs for its stages; one method, two seeds."""
    whole = place / "whole"
    whole.mkdir(parents=True)
    made = make_project(whole)
    text = STUB.replace(OUTPUT, ATOMIC)
    assert text != STUB
    (whole / "fer_repro/pipeline/notebooks.py").write_text(text)
    made.call("git", "commit", "-qam", "write whole files")
    made.call("git", "clone", "-q", str(whole), str(place / "clone"))
    params = read_yaml(place / "clone/params.yaml")
    params["pipeline"]["faces"]["methods"] = ["rmn"]
    (place / "clone/params.yaml").write_text(yaml.dump(params))
    command = [PYTHON, "-c", SWEEP.format(root=str(ROOT)), "--workers", "2", "--pull", "data.dvc"]
    environment = {"PATH": made.environment["PATH"], "DVC_SITE_CACHE_DIR": "{here}/../site"}
    products = (
        "runs/**/*",
        "results/measured/**/*",
        "prepared/**/*",
        "executed/*",
        "results/comparison/*",
        "reports/*",
    )
    return Target("sweep", command, place / "clone", products, environment)


def data_add(place):
    """An added set that is there already, replaced by another one."""
    for version in (1, 2):
        rng = np.random.default_rng(version)
        for number in range(120):
            file = place / f"raw{version}/{('glad', 'angry')[number % 2]}/{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (48, 48), np.uint8)).save(file)
    shutil.copy(ROOT / "params.yaml", place)
    add = [PYTHON, "-m", "fer_repro.cli", "data", "add", "folder-mine"]
    subprocess.run([*add, "raw1"], cwd=place, check=True, capture_output=True)
    products, together = ("stores/folder-mine/*",), ("stores/folder-mine",)
    return Target("data add", [*add, "raw2", "--force"], place, products, QUIET, together)


def notebook(name, **given):
    """The command that runs a notebook on the synthetic faces."""
    words = [f"{key}={value}" for key, value in {"dataset": "synthetic", **given}.items()]
    return (*NOTEBOOKS, name, *(part for word in words for part in ("-p", word)))


STAGES = {  # at smoke size: the command, what it leaves, and what of it is replaced as a whole
    "prepare": (
        notebook("data", manifest="data/synthetic/manifest.json", out="prepared/synthetic"),
        ("prepared/**/*", "executed/data*"),
        ("prepared/synthetic",),
    ),
    "train": (
        notebook("train", method="rmn", seed=0, out="runs", smoke="true"),
        ("runs/**/*", "executed/train*"),
        ("runs/synthetic/rmn/0/masked", "runs/synthetic/rmn/0/no_mask"),
    ),
    "evaluate": (notebook("rmn", out="results"), ("results/measured/**/*", "executed/rmn*"), ()),
    "compare": (
        (*NOTEBOOKS, "comparison", "-p", "out=results/comparison"),
        ("results/comparison/**/*", "executed/comparison*"),
        (),
    ),
    "report": (
        (PYTHON, "-m", "fer_repro.report.html", "--out", "reports/index.html"),
        ("reports/*",),
        (),
    ),
}


def small_project(home):
    """Write what the stages begin with: forty-two faces and the parameters of one method."""
    from fer_repro.synthetic.stills import write_stills

    for name in ("notebooks", "results/published", "results/records"):
        shutil.copytree(ROOT / name, home / name)
    subjects = {"train": 4, "val": 1, "test": 1}
    write_stills(home / "data/synthetic", subjects=subjects, faces_per_class=1)
    params = read_yaml(ROOT / "params.yaml")
    params["pipeline"] = pipeline_of("faces", ["rmn"], synthetic="data/synthetic/manifest.json")
    params["seeds"], params["further_seeds"] = [0], [0]
    params["evaluation"]["bootstrap"] = 50
    params["runtime"].update(checkpoint_seconds=0.0, threads=1, device="cpu")
    (home / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def real_stages(place):
    """The stages of the pipeline, each with what the ones before it left."""
    home, found = place / "project", {}
    small_project(home)
    for name, (command, products, together) in STAGES.items():
        template = place / name
        shutil.copytree(home, template)
        target = Target(name, list(command), template, products, QUIET, together)
        found[name] = target.measure(place / f"undisturbed {name}")
        shutil.copytree(place / f"undisturbed {name}/project", home, dirs_exist_ok=True)
    return found
