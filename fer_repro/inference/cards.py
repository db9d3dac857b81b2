"""Model cards: what a model is, how it was made and measured, and what it starts from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fer_repro.config import START_DIGEST
from fer_repro.datasets.dataset import is_addable, load_dataset
from fer_repro.figures.tables import markdown_text
from fer_repro.files import atomic_write, file_sha256, read_yaml
from fer_repro.inference import measured
from fer_repro.inference.catalogue import SYNTHETIC_FACES
from fer_repro.inference.run_models import read_run_facts
from fer_repro.inference.spec import ModelSpec
from fer_repro.methods.method import load_method
from fer_repro.project_files import packaged
from fer_repro.recipes import is_path

_IMAGENET = "trained on ImageNet, whose terms allow research and teaching only"
TORCHVISION = f"weights by torchvision, code BSD-3-Clause; {_IMAGENET}"
TIMM = f"weights by timm, Apache-2.0; {_IMAGENET}"


@dataclass(frozen=True)
class PretrainedWeights:
    """What a network started from.

    Attributes:
        name: of the publisher's file.
        licence: of the weights and of the data they were trained on.
        sha256: of the file where it is in the cache; else its first digits, or why it is unknown.
    """

    name: str
    licence: str
    sha256: str


def pretrained_weights(spec: ModelSpec) -> PretrainedWeights | None:
    """Name the pretrained weights of a network; None if there are none or they are unknown."""
    start = str(spec.options.get("pretraining", "none")) if spec.official is None else "none"
    if is_path(start):
        digest = str(spec.options[START_DIGEST])
        return PretrainedWeights(start, "the terms of the data it was trained on", digest)
    if spec.pretraining != "imagenet":
        return None
    name = load_method(spec.method).imagenet(spec.arm, spec.options)
    if name.startswith("timm/"):
        return PretrainedWeights(name, TIMM, _of_hub(f"models--{name.replace('/', '--')}"))
    return PretrainedWeights(name, TORCHVISION, _of_torch(name))


def _of_torch(name: str) -> str:
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    begins = name.rpartition("-")[2].removesuffix(".pth")
    return file_sha256(file) if file.is_file() else f"{begins}... (the file is not in the cache)"


def _of_hub(folder: str) -> str:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return "unknown (huggingface-hub is not installed)"
    files = sorted(Path(HF_HUB_CACHE).glob(f"{folder}/snapshots/*/model.safetensors"))
    return file_sha256(files[-1]) if files else "unknown (the file is not in the cache)"


CODE_LICENCE = "MIT"
PAPERS = packaged("results/published/papers.yaml")
NO_REAL_PERSON = "rendered by this project; no real person is shown; MIT, as the code"
USES = {
    "expression": "Research on facial expression recognition: comparing methods, studying errors, teaching.",
    "verification": "Research on face verification: comparing losses by the protocols named above.",
    "manipulation": "Research on the detection of manipulated faces; a hint for a human examiner, never a "
    "proof.",
}
LIMITS = {
    "expression": (
        "It names the expression that people would read in a face. It does not measure what anybody feels: "
        "the "
        "same face goes with different feelings, between people, situations and cultures.",
        "Do not use it to judge people or to decide about them, nor for surveillance: not at work, in "
        "schools, for hiring, credit, policing or at borders. In "
        "the European Union, inferring emotions at work and in education is forbidden but for medical and "
        "safety "
        "reasons (Regulation 2024/1689, Article 5(1)(f)); elsewhere it is high-risk (Annex III), and people "
        "must "
        "be informed (Article 50).",
    ),
    "verification": (
        "A cosine is no identification. Error rates differ between groups of people; a threshold holds for "
        "the "
        "data it was chosen on.",
        "Face images that identify people are biometric data (Regulation 2016/679, Article 9): do not use it "
        "without a legal basis; remote identification in public places is restricted (Regulation 2024/1689, "
        "Article 5).",
    ),
    "manipulation": (
        "It knows the manipulations it was trained on. New generators, strong compression and small faces "
        "defeat "
        "it; a low score does not make a video genuine.",
        "Do not accuse anybody on the basis of its score.",
    ),
}
EXAMPLE = """```python
import fer_repro

model = fer_repro.load("THIS FOLDER")
model.predict("photo.jpg")
```"""
COMMON_LIMIT = (
    "Accuracy differs between people, poses, light and occlusion; see the groups above where they were "
    "measured, "
    "and measure your own data before you rely on it."
)


SYNTHETIC_LIMIT = (
    "It was trained on synthetic faces only: on photographs and real videos its answers are often wrong, "
    "however confident."
)


def write_card(
    path: Path,
    spec: ModelSpec,
    run: Path | None = None,
    root: Path | None = None,
    rounding: Mapping[str, Any] | None = None,
) -> None:
    """Write the card of a model.

    Args:
        path: the Markdown file.
        spec: of the model.
        run: its run's folder, from which what was measured is read; None: nothing was measured here.
        root: of the project, with ``results`` and ``prepared``; that of the run if left out.
        rounding: what rounded weights change, see ``fer_repro.inference.export.rounding_of``.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(card(spec, run, root, rounding), encoding="utf-8")


def card(
    spec: ModelSpec,
    run: Path | None = None,
    root: Path | None = None,
    rounding: Mapping[str, Any] | None = None,
) -> str:
    """Write the text of a card; arguments as in ``write_card``."""
    homes = run.resolve().parents[4:5] if run is not None else ()
    facts = _facts(spec, run, root or next(iter(homes), Path()))
    if rounding:
        facts["rounding"] = dict(rounding)
    header = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{header}---\n\n{_text(spec, facts)}"


def _facts(spec: ModelSpec, run: Path | None, root: Path) -> dict[str, Any]:
    method, start = load_method(spec.method), pretrained_weights(spec)
    return {
        "library_name": "fer_repro",
        "license": CODE_LICENCE.lower() if spec.trained_on == SYNTHETIC_FACES else "other",
        "pipeline_tag": "image-feature-extraction" if spec.task == "verification" else "image-classification",
        "tags": ["facial-expression-recognition", spec.method, spec.task],
        "datasets": [spec.dataset],
        "model": {
            "name": spec.name,
            "paper": {"title": method.title, "arxiv": method.paper},
            "task": spec.task,
            "classes": list(spec.classes),
            "source": spec.source,
            "weights_sha256": spec.weights_sha256,
        },
        "input": {
            "colour": spec.colour,
            "crop": spec.crop,
            "face_size": spec.face_size,
            "image_size": spec.image_size,
            "values": "ImageNet mean and deviation" if spec.standardise else "0 to 1",
            "shows": spec.shows,
        },
        "training": _training(spec, run),
        "metrics": measured.chosen_metrics(measured.run_metrics(run)) if run else {},
        "intervals": measured.intervals(run, root / "results/measured" / spec.dataset / spec.method)
        if run
        else [],
        "calibration": measured.calibration(run) if run else {},
        "groups": measured.groups(run, root / "prepared" / spec.dataset / "samples.csv") if run else [],
        "licences": {
            "code": CODE_LICENCE,
            "data": _data_licence(spec),
            "weights": _weights_licence(spec),
            "pretrained_weights": _start_licence(start, spec),
        },
    }


def _training(spec: ModelSpec, run: Path | None) -> dict[str, Any]:
    if run is None:
        return {"by": spec.source, "trained_on": spec.trained_on, "pretraining": spec.pretraining}
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    recipe, data = config["recipe"], config["data"]
    parts = f"{data['folds']} folds, each tested once" if data.get("folds") else "the set's own parts"
    chosen = data.get("select_on", "val").replace("val", "validation")
    return {
        "data": spec.dataset,
        "trained_on": spec.trained_on,
        "protocol": f"{parts}; the epoch is chosen on the {chosen} part",
        "seed": read_run_facts(run).seed,
        "budget": recipe["note"],
        "epochs": recipe["epochs"],
        "batch_size": recipe["batch_size"],
        "optimiser": recipe["optimiser"],
        "pretraining": spec.pretraining,
    }


def _data_licence(spec: ModelSpec) -> str:
    if spec.trained_on == SYNTHETIC_FACES:
        return NO_REAL_PERSON
    return load_dataset(spec.dataset).terms if is_addable(spec.dataset) else "unknown: ask who trained it"


def _weights_licence(spec: ModelSpec) -> str:
    if spec.official is None:
        bound = "" if spec.trained_on == SYNTHETIC_FACES else "; the terms of the data apply, too"
        return f"{CODE_LICENCE} as far as this project can grant it{bound}"
    papers = read_yaml(PAPERS) if PAPERS.is_file() else {}
    licence = papers.get(spec.method, {}).get("licence", {"code": "unknown", "weights": "unknown"})
    return f"{licence['weights']}: the authors' code is {licence['code']}, for the weights they name none"


def _start_licence(start: PretrainedWeights | None, spec: ModelSpec) -> Any:  # noqa: ANN401 - a text or a mapping
    if start is None:
        return "unknown" if spec.pretraining == "unknown" else "none: nothing was pretrained"
    return {"name": start.name, "licence": start.licence, "sha256": start.sha256}


def _text(spec: ModelSpec, facts: dict[str, Any]) -> str:
    paper = facts["model"]["paper"]
    archived = f" (arXiv:{paper['arxiv']})" if paper["arxiv"] else ""
    arm = load_method(spec.method).arms.get(spec.arm, "")  # it may be inspired by another paper
    lines = [
        f"# {spec.name}",
        f"A network of *{paper['title']}*{archived}, for {spec.task}. Weights: {markdown_text(spec.source)}.",
        *([f"Arm {spec.arm}: {markdown_text(arm)}"] if arm else []),
        EXAMPLE,
        "## Input",
        _pairs(facts["input"]),
        "## Training",
        _pairs(facts["training"]),
        "## What was measured",
        _measured(facts),
        *_rounding(facts.get("rounding", {})),
        "## Calibration",
        _calibration(facts["calibration"]),
        "## Groups",
        _groups(facts["groups"]),
        "## Intended use and limits",
        USES[spec.task],
        "\n".join(f"- {limit}" for limit in (*_first_limit(spec), *LIMITS[spec.task], COMMON_LIMIT)),
        "## Licences",
        _pairs(facts["licences"]),
    ]
    return "\n\n".join(lines) + "\n"


def _first_limit(spec: ModelSpec) -> tuple[str, ...]:
    return (SYNTHETIC_LIMIT,) if spec.trained_on == SYNTHETIC_FACES else ()


def _pairs(values: dict[str, Any]) -> str:
    return "\n".join(f"- {name.replace('_', ' ')}: {_said(value)}" for name, value in values.items())


def _said(value: Any) -> str:  # noqa: ANN401 - a YAML value
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items())
    return markdown_text(str(value))


def _measured(facts: dict[str, Any]) -> str:
    if not facts["metrics"]:
        return "Nothing was measured here."
    this = _table(("metric, test part of this run", "value"), [*facts["metrics"].items()])
    if not facts["intervals"]:
        return (
            f"{this}\n\nNo intervals: one run does not predict another; train more seeds and evaluate them."
        )
    rows = [
        (
            f"{each['metric'].replace('_', ' ')}, augmentation in the test: {each['tta']}",
            f"{each['value']:.2f} {each['unit']}",
            f"{each['low']:.2f} to {each['high']:.2f} ({each['confidence']:.0%} {each['kind']}, "
            f"{each['runs']} runs)"
            if "low" in each and "high" in each
            else "none: one seed gives no interval",
        )
        for each in facts["intervals"]
    ]
    return f"{this}\n\n{_table(('metric, mean over seeds', 'value', 'interval'), rows)}"


def _rounding(values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    text = f"The weights are rounded to {values['weights']}; they are made float32 when they are loaded."
    if "test_samples" in values:
        text += (
            f" Of the {values['test_samples']} test samples the network has {values['accuracy_after']:.2%} "
            f"right, {values['accuracy_before']:.2%} before; {values['answers_changed']} answers differ."
        )
    return ["## Rounding", text]


def _calibration(values: dict[str, float]) -> str:
    if not values:
        return "Not measured: do not read the probabilities as frequencies."
    return (
        f"Expected calibration error of the test part: {values['ece']:.3f}; "
        f"{values['ece_with_temperature']:.3f} "
        f"with the temperature {values['temperature']:.2f}, fitted on the validation part. Predictions are "
        "given "
        "without temperature."
    )


def _groups(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "No factors of the samples are known: differences between people were not measured."
    shown = [(each["factor"], each["value"], each["samples"], f"{each['accuracy']:.1%}") for each in rows]
    return _table(("factor", "value", "samples", "accuracy"), shown)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_shown, line))} |" for line in lines)


def _shown(cell: Any) -> str:  # noqa: ANN401 - a cell
    return f"{cell:.4f}" if isinstance(cell, float) else markdown_text(str(cell))
