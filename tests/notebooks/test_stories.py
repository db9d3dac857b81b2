"""Every story through papermill, on small drawn sets and shrunken runs; RAN without truth, too."""

import json
from pathlib import Path

import nbformat
import pytest

from fer_repro.config import DATA_DIGESTS
from fer_repro.synthetic.factors import TRUTH

pytestmark = pytest.mark.slow
FIGURES = {  # name: the set, and how many figures the story has with the image for those who cannot move it
    "adacos": ("synthetic_pairs", 12),
    "benford": ("synthetic_resampled", 7),
    "blinding": ("synthetic_pairs", 6),
    "distillation": ("synthetic", 10),
    "efficientnet": ("synthetic_forgeries", 17),
    "engagement": ("synthetic_engagement", 9),
    "face_losses": ("synthetic_forgeries", 7),
    "fan": ("synthetic_clips", 13),
    "inside_bias": ("synthetic", 5),
    "maxout": ("synthetic", 10),
    "cascade": ("synthetic", 10),
    "p2sgrad": ("synthetic_pairs", 11),
    "pixel_synthesis": ("synthetic_smiles", 5),
    "ran": ("synthetic", 15),
    "rmn": ("synthetic", 15),
}
WRITTEN = {"rows.csv", "intervals.csv", "metrics.json", "curves.csv"}


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.fixture
def story(trained, tell):
    """Tells a method's story into a folder of the project."""
    places = {part: str(trained / part) for part in ("runs", "prepared")}
    given = {"params_file": str(trained / "params.yaml"), "out": str(trained / "results/measured"), **places}
    return lambda name, out="executed": tell(name, given, trained / f"{out}/{name}.ipynb")


def shown(executed):
    outputs = [output for cell in nbformat.read(executed, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "stream"]  # no warning was printed
    return "".join(output.data.get("text/html", "") for output in outputs)


@pytest.mark.parametrize("name", FIGURES)
def test_a_story_is_told_to_its_end(trained, story, name):
    dataset, figures = FIGURES[name]
    assert shown(story(name)).count("<figure class=") == figures
    assert {path.name for path in (trained / "results/measured" / dataset / name).iterdir()} > WRITTEN


def test_a_story_is_the_same_when_it_is_told_again(story):
    first, again = story("rmn"), story("rmn", "again")
    assert first.read_bytes() == again.read_bytes()


def test_without_truth_the_story_says_so(trained, story):
    truth = trained / "prepared/synthetic" / TRUTH
    configs = [*(trained / "runs/synthetic/ran").rglob("config.json")]
    kept = {path: path.read_bytes() for path in (truth, *configs)}
    truth.unlink()
    for path in configs:  # as of runs on a set that never had the truth
        config = json.loads(kept[path])
        del config[DATA_DIGESTS][TRUTH]
        path.write_text(json.dumps(config))
    try:
        text = shown(story("ran"))
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert text.count("<figure class=") == FIGURES["ran"][1] - 1
    assert text.count("not known") == 3
