"""How good synthesised faces are: pixel by pixel, to a network of expressions, and to one of identities.

What a map needs, pairs and lambda, and which pixels it chooses; and whether its faces are training data.

Errors are measured before anything is stretched or limited; networks get what they were trained on, values
in [0, 1]. The inputs as they are (a copy) and the true targets belong beside every map: the first has the
identity without the expression, the second both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fer_repro.config import HALF
from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import MANIFEST, Store, open_store, store_writer
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.agreement import agreement_row
from fer_repro.files import read_json
from fer_repro.loading.augmentation import resize
from fer_repro.loading.batches import Batch
from fer_repro.loading.frames import find_clips
from fer_repro.measures.intervals import mean_interval
from fer_repro.methods.method import Method
from fer_repro.runs.loaded_run import LoadedRun, load_run
from fer_repro.runs.predictions import Predictions, read_predictions
from fer_repro.synthetic.factors import CLASSES
from fer_repro.synthetic.render import render
from fer_repro.synthetic.smiles import NEUTRAL, sample_expressions

COLUMNS = ("arm", "face", "mse", "called", "similarity")
COPY, TARGET = "copy", "target"
_MEASURES = ("found", "taken for it", "all right")
REPEATED = "repeated"  # the control of added faces: the class's own, once more
_BATCH = 64
_CHUNK = 4096  # images in memory


def image_frames(store: Store, split: str) -> Tensor:
    """Read images and what they are to become: (N, 2, C, H, W) in [0, 1], C = 1 grey or 3 RGB.

    Args:
        store: a set whose clips are such pairs.
        split: which part.

    Raises:
        UserError: the set holds something else.
    """
    if not store.has_wanted_images:
        raise UserError(f"{store.folder}: expected clips of two images of which the second is wanted")
    table = store.samples.iloc[protocol_rows(store.samples, split, "official")]
    rows = find_clips(table, str(store.folder)).rows
    return _planes(store.images[store.samples["image"].to_numpy(np.int64)[rows]]).unflatten(0, (-1, 2))


def _planes(pixels: np.ndarray) -> Tensor:
    """Turn bytes (N, H, W) or (N, H, W, 3) into (N, C, H, W) in [0, 1]."""
    scaled = torch.from_numpy(pixels).float() / 255
    return scaled[:, None] if scaled.ndim == 3 else scaled.permute(0, 3, 1, 2)


def synthesise(folders: Mapping[str, Path], store: Store) -> dict[str, Tensor]:
    """Synthesise the test images of a set by the maps of some runs.

    Args:
        folders: arm -> run.
        store: the data set.

    Returns:
        arm -> (N, C, H, W), neither limited nor stretched.
    """
    frames = image_frames(store, "test")
    return {arm: load_run(folder, store).network(frames).images for arm, folder in folders.items()}


def face_rows(frames: Tensor, outputs: Mapping[str, Tensor], people: Sequence[int]) -> pd.DataFrame:
    """List the faces of some people: the image, what it is to become, and what each arm makes of it.

    Args:
        frames: (N, 2, C, H, W) of ``image_frames``.
        outputs: from ``synthesise``.
        people: positions of the pairs.

    Returns:
        ``image`` (H, W) or (H, W, 3) in [0, 1], limited, and ``title``; person after person.
    """
    given = {"neutral": frames[:, 0], "wanted": frames[:, 1], **outputs}
    rows = [(images[person].clamp(0, 1), name) for person in people for name, images in given.items()]
    shown = [(image.permute(1, 2, 0).numpy(), name) for image, name in rows]
    return pd.DataFrame(
        [(image[..., 0] if image.shape[2] == 1 else image, name) for image, name in shown],
        columns=["image", "title"],
    )


def errors_by_option(
    method: Method,
    options: Any,  # noqa: ANN401 - the method's own
    arms: Sequence[str],
    store: Store,
    seeds: Sequence[int],
    confidence: float,
    name: str,
    values: Sequence[float],
) -> pd.DataFrame:
    """Fit arms anew with other values of one option, and test them on the test part.

    Args:
        method: with a solver.
        options: of the recipe.
        arms: that the solver fits.
        store: the data set.
        seeds: each draws the pairs that are learnt, as in its run.
        confidence: such as 0.95.
        name: of the option. Numbers of ``pairs`` of which there are too few are left out; all pairs are no
            draw, and have no interval.
        values: of the option.

    Returns:
        ``arm``, ``setting``, ``value``, ``low``, ``high``: mean squared error, and its interval over seeds.
    """
    learnt, tested = image_frames(store, "train"), image_frames(store, "test")
    whole = len(learnt)
    rows = []
    for arm in arms:
        for value in (value for value in values if name != "pairs" or value <= whole):
            errors = []
            for seed in seeds[:1] if (name, value) == ("pairs", whole) else seeds:
                network = _fitted(method, replace(options, **{name: value}), arm, learnt, seed)
                errors.append(float(network(tested).values.double().square().mean()))
            found = mean_interval(errors, confidence)
            rows.append((arm, value, found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["arm", "setting", "value", "low", "high"])


def _fitted(method: Method, options: Any, arm: str, learnt: Tensor, seed: int) -> Any:  # noqa: ANN401
    """Fit an arm's map to pairs (N, 2, C, H, W) of which the seed selects some."""
    assert method.solver is not None
    network = method.build_model(arm, options, 1)
    method.solver.fit(network, [Batch((learnt,), torch.zeros(len(learnt)))], seed)
    return network


def chosen_distances(folders: Mapping[int, Path], store: Store) -> pd.DataFrame:
    """Measure how far from its own place the pixel lies that each pixel of the output observes first.

    Args:
        folders: seed -> run of an arm whose map has ``places``.
        store: the data set.

    Returns:
        ``seed``, ``same_place`` (share in percent), ``median`` and ``largest`` distance in pixels.
    """
    rows = []
    for seed, folder in folders.items():
        network: Any = load_run(folder, store).network
        places = network.map.get_parameter("places")[:, 0].numpy()
        side = round(len(places) ** 0.5)
        own = np.arange(len(places))
        distances = np.hypot(places // side - own // side, places % side - own % side)
        rows.append((seed, 100 * (distances == 0).mean(), np.median(distances), distances.max()))
    return pd.DataFrame(rows, columns=["seed", "same_place", "median", "largest"])


def judge_faces(
    outputs: Mapping[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    classifier: LoadedRun,
    wanted: str,
    embedder: LoadedRun,
) -> pd.DataFrame:
    """Judge the outputs of several maps for the same faces.

    Args:
        outputs: arm -> (N, C, H, H), C = 1 grey or 3; unlimited.
        inputs: (N, C, H, H) in [0, 1].
        targets: (N, C, H, H) in [0, 1], the same people with the expression.
        classifier: a run of expressions, of people that are not among these.
        wanted: the class that the outputs are to show.
        embedder: a run that verifies, whose network has ``embed``.

    Returns:
        ``COLUMNS``, one row per arm and face, the arms ``copy`` and ``target`` first: ``mse`` over pixels and
        channels, ``called`` (whether the classifier answers with ``wanted``) and ``similarity``, the cosine
        of the embeddings of output and input.

    Raises:
        UserError: the classifier does not know the class; names the nearest.
    """
    if wanted not in classifier.classes:
        raise UserError(f"the classifier has no class '{wanted}'; {nearest(wanted, classifier.classes)}")
    label = classifier.classes.index(wanted)
    known = _embeddings(embedder, inputs)
    parts = []
    for arm, images in {COPY: inputs, TARGET: targets, **outputs}.items():
        answers = _run(classifier, images, lambda network, shown: _logits(network(shown)))
        vectors = _embeddings(embedder, images)
        part = {
            "arm": arm,
            "face": range(len(images)),
            "mse": (images.double() - targets.double()).square().flatten(1).mean(dim=1).numpy(),
            "called": (answers.argmax(dim=1) == label).numpy(),
            "similarity": torch.cosine_similarity(vectors, known, dim=1).numpy(),
        }
        parts.append(pd.DataFrame(part, columns=list(COLUMNS)))
    return pd.concat(parts, ignore_index=True)


def enlarge_class(
    store: Store,
    folder: Path,
    method: Method,
    options: Any,  # noqa: ANN401 - the method's own
    arm: str,
    count: int,
    seed: int,
    source: str = NEUTRAL,
    wanted: str = "disgust",
) -> Store:
    """Write a data set again, with further training faces of a rare class; val and test stay as they are.

    A map is fitted to synthetic pairs of a neutral face and the same one with the rare expression, as many as
    the options say, and applied to neutral training faces of the set.

    Args:
        store: a set of square images with both classes.
        folder: becomes the new set. ``stores/folder-NAME`` is one that `fer-repro train` finds.
        method: with a solver.
        options: of its recipe.
        arm: which map; or ``REPEATED``, the rare class's own training faces again, in turn.
        count: how many faces are added.
        seed: of the pairs, and of the choice of faces.
        source: the class whose faces are changed.
        wanted: the rare class; one of the synthetic expressions.

    Returns:
        The new set. Its column ``added`` names the arm for added faces and is empty for others.

    Raises:
        UserError: the folder exists, a class is missing or is no synthetic expression, or it has fewer
            training faces than ``count``.
    """
    for name in (source, wanted):
        if name not in store.classes:
            raise UserError(f"{store.folder}: no class '{name}'; {nearest(name, store.classes)}")
    table, repeated = store.samples, arm == REPEATED
    rows = _training_faces(store, wanted if repeated else source, count, seed, repeated)
    images = np.asarray(store.images[table["image"].to_numpy(np.int64)[rows]])
    if not repeated:
        images = _changed(images, _map_to(method, options, arm, wanted, images.shape[1], seed))
    new = table.iloc[rows].assign(
        image=np.arange(count) + store.manifest.count, label=store.classes.index(wanted), added=arm
    )
    samples = pd.concat([table.assign(added=""), new], ignore_index=True)
    note = f"{store.manifest.name} with {count} training faces of '{wanted}' added: {arm}, seed {seed}."
    with store_writer(folder, folder.name, store.classes) as writer:
        for begin in range(0, store.manifest.count, _CHUNK):
            writer.append(np.asarray(store.images[begin : begin + _CHUNK]))
        writer.append(images)
        writer.finish(samples, {f"{MANIFEST} of {store.manifest.name}": store.digest}, note)
    return open_store(folder)


def _training_faces(store: Store, name: str, count: int, seed: int, repeated: bool) -> np.ndarray:
    """Choose training faces of a class: (count,) rows of the sample table, more than once if ``repeated``."""
    table = store.samples
    given = np.flatnonzero(table["split"].eq("train") & table["label"].eq(store.classes.index(name)))
    most = np.inf if repeated and len(given) else len(given)
    if not 0 < count <= most:
        raise UserError(
            f"{store.folder}: {len(given)} training faces of '{name}', {count} to add: expected 1 to as many"
        )
    order = given[np.argsort(hashes(seed, Stream.SUBSET, 2, given), kind="stable")]
    return np.resize(order, count)


def rare_class_rows(
    records: Path | str, base: str, method: str, arm: str, confidence: float, wanted: str = "disgust"
) -> pd.DataFrame:
    """Compare networks that learnt from sets of ``enlarge_class`` with those of the set as it is.

    Args:
        records: where records with kept runs lie; those of the recipe named like ``base`` count.
        base: name of the set as it is; those with added faces are ``folder-BASE_ARM``.
        method: that was trained.
        arm: of that method.
        confidence: such as 0.95; intervals are over seeds and test faces.
        wanted: the rare class.

    Returns:
        ``added`` (the arm, "nothing" first), ``seeds``, ``measure``, ``value``, ``low``, ``high`` in percent
        and ``gain``, ``gain_low``, ``gain_high`` in points over the set as it is, of the same seeds.
        Measures: how many faces of the rare class are found, how many others are taken for it, and all right
        answers. Empty without a record of the set as it is.
    """
    found: dict[str, dict[int, Predictions]] = {}
    for file in sorted(Path(records).glob("*/record.json")):
        record = read_json(file, "it beside the record's rows.csv")
        if (record["method"], record["recipe_name"], record[HALF]) == (method, base, False):
            added = "" if record["dataset"] == base else record["dataset"].removeprefix(f"folder-{base}_")
            runs = {int(each.parts[-3]): each for each in file.parent.glob(f"runs/*/*/*/{arm}/metrics.json")}
            found[added] = {
                seed: read_predictions(run.parent / "predictions.csv").of_split("test")
                for seed, run in runs.items()
            }
    rows = []
    for added in sorted(found) if "" in found else ():
        seeds = sorted(found[added].keys() & found[""])
        for measure in _MEASURES:
            values, before = (
                100 * np.stack([_measured(found[name][seed], measure, wanted) for seed in seeds])
                for name in (added, "")
            )
            value = agreement_row(measure, values, None, confidence)
            gain = agreement_row(measure, values - before, None, confidence)
            numbers = [float(str(each[key])) for each in (value, gain) for key in ("mean", "low", "high")]
            rows.append((added or "nothing", len(seeds), measure, *numbers))
    columns = ["added", "seeds", "measure", "value", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)


def _measured(test: Predictions, measure: str, wanted: str) -> np.ndarray:
    """Whether each face counts, NaN for faces that the measure is not about."""
    label, answers = test.classes.index(wanted), test.logits.argmax(1)
    if measure == _MEASURES[2]:
        return np.asarray(answers == test.targets, np.float64)
    about = (test.targets == label) == (measure == _MEASURES[0])
    return np.where(about, answers == label, np.nan)


def _map_to(
    method: Method,
    options: Any,  # noqa: ANN401 - the method's own
    arm: str,
    wanted: str,
    side: int,
    seed: int,
) -> torch.nn.Module:
    """Fit a map from neutral synthetic faces to the same with another expression."""
    method.check_arm(arm)
    if wanted not in CLASSES:
        raise UserError(f"no drawn face shows '{wanted}'; {nearest(wanted, CLASSES)}")
    pairs = render(sample_expressions(seed, {"train": options.pairs}, wanted), side).images
    network = _fitted(method, options, arm, _planes(pairs).unflatten(0, (-1, 2)), seed)
    change: torch.nn.Module = network.map
    return change


def _changed(images: np.ndarray, change: torch.nn.Module) -> np.ndarray:
    """Apply a map to images (N, H, H) or (N, H, H, 3) of bytes."""
    with torch.no_grad():
        parts = [change(part) for part in _planes(images).split(_BATCH)]
    levels = torch.cat(parts).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    return levels[..., 0] if images.ndim == 3 else levels


def _embeddings(run: LoadedRun, images: Tensor) -> Tensor:
    return _run(run, images, lambda network, shown: network.embed(shown))


def _run(run: LoadedRun, images: Tensor, compute: Any) -> Tensor:  # noqa: ANN401 - network, images -> tensor
    """Run a network on images, limited to [0, 1] and at the size that it was trained on."""
    size, parts = run.config["recipe"]["image_size"], []
    for part in images.float().clamp(0, 1).split(_BATCH):
        shown = resize(part.expand(-1, 3, -1, -1), size).clamp(0, 1)
        with torch.no_grad():
            parts.append(compute(run.network, shown).double())
    return torch.cat(parts)


def _logits(output: Any) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    return torch.as_tensor(getattr(output, "logits", output))
