"""A trained run as a model: its configuration, its classes, and the format of its training data."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import DATA_DIGESTS
from fer_repro.errors import UserError, nearest
from fer_repro.inference.spec import Colour, ModelSpec, of_faces
from fer_repro.loading.regions import region_names
from fer_repro.loading.views import Regions
from fer_repro.measures.verification import roc
from fer_repro.methods.method import Task, load_method
from fer_repro.runs.folder import run_task
from fer_repro.runs.predictions import PAIR_SCORES, read_pair_scores
from fer_repro.sections import read_section

WEIGHTS = "weights.safetensors"


def run_weights(run: Path, fold: int = 0) -> Path:
    """Find the weights of a run.

    Args:
        run: its folder, e.g. ``runs/synthetic/rmn/0/masked``.
        fold: which of a run that was tested fold by fold; 0 takes the only weights, or those of fold 1.

    Raises:
        UserError: there are none, or not of that fold.
    """
    files = sorted(run.glob("weights*.safetensors"))
    if not files:
        raise UserError(
            f"{run}: no trained run: it holds no {WEIGHTS}; `fer-repro models` lists those available"
        )
    name = f"weights_fold{fold}.safetensors" if fold else WEIGHTS
    if (run / name).is_file():
        return run / name
    if not fold:
        return run / "weights_fold1.safetensors"
    raise UserError(f"{run}: no {name}; {nearest(name, [file.name for file in files])}")


@dataclass(frozen=True)
class RunFacts:
    """What a model needs of a run's configuration; the rest may be of an older version of the project."""

    method: str
    arm: str
    dataset: str
    seed: int
    task: Task
    image_size: int
    model: dict[str, Any]
    images: str  # sha256 of the images it was trained on, "" where an older version kept none


def read_run_facts(run: Path) -> RunFacts:
    """Read what a run was trained with.

    Raises:
        UserError: its configuration or a key of it is missing.
    """
    path = run / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        recipe = values["recipe"]
        return RunFacts(
            values["method"],
            values["arm"],
            values["dataset"],
            values["seed"],
            run_task(values, run),
            recipe["image_size"],
            recipe["model"],
            values.get(DATA_DIGESTS, {}).get("images", ""),
        )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a run's folder") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: key {error} is missing; expected the configuration of a run") from None


def spec_of_run(
    run: Path, state: dict[str, Any], digest: str, colour: Colour | None = None, face_size: int = 0
) -> ModelSpec:
    """Describe a run as a model.

    Args:
        run: its folder.
        state: its tensors.
        digest: of the tensors.
        colour: of the training data; None reads the data set's manifest.
        face_size: side of its images; 0 reads the manifest.

    Raises:
        UserError: a file of the run is missing or wrong, or the format of its data is unknown.
    """
    facts = read_run_facts(run)
    method = load_method(facts.method)
    task, shows = of_faces(facts.task, method.inputs, str(run))
    if method.as_stored:
        raise UserError(
            f"{run}: {facts.method} reads traces in pixels as they are stored, which cutting and resizing "
            "faces would remove: it is neither run on files nor exported; `fer-repro train` and `fer-repro "
            "evaluate` answer for the images of a data set"
        )
    options = read_section(method.options, facts.model, f"{run}: recipe.model")
    view = method.view(options)
    manifest = find_manifest(run, facts)[1] if colour is None or not face_size else {}
    pairs = facts.task == "verification"
    classes = () if pairs else _classes(run)
    if pairs and "head.weight" not in state:
        raise UserError(f"{run}: its weights have no 'head.weight': expected a network that learned people")
    return ModelSpec(
        version=1,
        method=facts.method,
        arm=facts.arm,
        official=None,
        task=task,
        classes=classes,
        outputs=len(state["head.weight"]) if pairs else len(classes),
        options=facts.model,
        shows=shows,
        regions=region_names(view.crops) if isinstance(view, Regions) else (),
        image_size=facts.image_size,
        face_size=face_size or int(manifest["height"]),
        colour=colour or ("grey" if manifest["channels"] == 1 else "rgb"),
        crop=method.crop,
        standardise=False,
        dataset=facts.dataset,
        pretraining=method.pretraining_name(options),
        source=f"{facts.dataset}/{facts.method}/{facts.seed}/{facts.arm}",
        threshold=_threshold(run) if pairs else None,
        weights_sha256=digest,
    )


def _classes(run: Path) -> tuple[str, ...]:
    path = run / "predictions.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such file; it holds the order of the classes")
    try:
        columns = pd.read_csv(path, nrows=0).columns
    except ValueError as error:  # pandas' own errors are of this kind, and those of UTF-8
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None
    return tuple(name.removeprefix("logit_") for name in columns if name.startswith("logit_"))


def find_manifest(run: Path, facts: RunFacts) -> tuple[Path, dict[str, Any]]:
    """Find the manifest of a run's data set, and read it: beside the runs, or in the current folder.

    A set of that name with other images than the run was trained on is not used.

    Raises:
        UserError: there is none.
    """
    dataset, replaced = facts.dataset, ""
    homes = dict.fromkeys([*run.resolve().parents[4:5], Path.cwd()])
    kinds = ("prepared", "stores", "data")
    places = [home / kind / dataset / "manifest.json" for home in homes for kind in kinds]
    for place in places:
        if place.is_file():
            try:
                manifest: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{place}: not readable as JSON: {error}") from None
            if not {"channels", "height"} <= set(manifest):  # of a generated set only settings may be known
                continue
            images = manifest.get("images")
            if not facts.images or not isinstance(images, dict) or images.get("sha256") == facts.images:
                return place, manifest
            replaced = replaced or f"{place} holds other images than it was trained on"
    raise UserError(
        f"{run}: colour and size of its data, {dataset}, are unknown: "
        f"{replaced or f'{places[0]} is missing'}; give colour and face_size (--colour grey --face-size 48)"
    )


def _threshold(run: Path) -> float | None:
    """Choose the cosine with the most correct answers on the validation pairs; of equals the lowest."""
    pairs = read_pair_scores(run / PAIR_SCORES)
    pairs = pairs[pairs["list"] == "val"]
    if pairs["same"].nunique() < 2:
        return None
    curve = roc(pairs["score"].to_numpy(), pairs["same"].to_numpy())
    same = len(pairs) - curve.impostors
    right = curve.tar * same + (1 - curve.far) * curve.impostors
    best = len(right) - 1 - int(right[::-1].argmax())
    return float(curve.thresholds[best]) if best else None
