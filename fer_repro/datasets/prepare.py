"""A data set made ready for training, and the tasks that it fits."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from fer_repro.datasets.adding import examine, open_manifest
from fer_repro.datasets.audit import audit, mark_overlap, pixel_digests
from fer_repro.datasets.dataset import is_addable
from fer_repro.datasets.folds import identification_table
from fer_repro.datasets.pairs import PAIRS, has_pairs, open_pairs, people_in, write_pairs
from fer_repro.datasets.protocols import check_subjects
from fer_repro.datasets.samples import SPLITS
from fer_repro.datasets.store import Store, open_store, store_writer, view_writer
from fer_repro.datasets.video_faces import CLASSES as REAL_OR_MANIPULATED
from fer_repro.errors import UserError, nearest
from fer_repro.files import file_sha256
from fer_repro.params import dataset_names
from fer_repro.synthetic.factors import TRUTH, Generated, write_truth
from fer_repro.synthetic.resampled import RESAMPLED

AUDIT = "audit.json"
SYNTHETIC = (
    "synthetic", "synthetic_clips", "synthetic_apex", "synthetic_pairs", "synthetic_forgeries",
    "synthetic_engagement", "synthetic_resampled", "synthetic_smiles",
)  # fmt: skip
KINDS = ("clips", "apex", "pairs", "forgeries", "engagement", "resampled", "smiles")
"""Generators of synthetic sets; each is a module of ``fer_repro.synthetic``."""


def prepare_dataset(name: str, manifest_path: Path | str, out: Path | str) -> Store:
    """Bring a data set into the form that training reads, replacing what was there.

    Args:
        name: the data set, one of ``pipeline`` in params.yaml.
        manifest_path: its manifest, as given there. That of a synthetic set holds its generator's settings.
        out: the folder to write, usually ``prepared/<name>``. For synthetic data it holds the images, and
            the ground truth of their pixels in ``truth.npz``; for added sets only ``samples.csv`` (with
            ``in_training`` and ``in_public``), a manifest that points to the images where they are, and the
            audit.

    Raises:
        UserError: the set is unknown, was not added yet, or is damaged.
    """
    manifest_path, out = Path(manifest_path), Path(out)
    if is_addable(name):
        _prepare_added(name, manifest_path, out)
    elif name in SYNTHETIC or manifest_path.is_file():
        _prepare_synthetic(name, manifest_path, out)
    else:
        raise UserError(f"data set '{name}' is unknown; {nearest(name, (*SYNTHETIC, *dataset_names()))}")
    return open_store(out)


def read_audit(folder: Path | str) -> dict[str, object]:
    """Read the audit beside a prepared set.

    Raises:
        UserError: it is missing.
    """
    path = Path(folder) / AUDIT
    if not path.exists():
        raise UserError(f"{path}: no such file; expected the folder of a prepared data set")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _prepare_synthetic(name: str, manifest_path: Path, out: Path) -> None:
    generated, source = _draw(name, manifest_path)
    check_subjects(generated.samples, str(manifest_path.parent))
    digests = pixel_digests(generated.images)
    with store_writer(out, name, generated.classes, force=True) as writer:
        writer.append(generated.images)
        if generated.truth:
            source = {**source, TRUTH: write_truth(writer.folder, generated.truth)}
        if generated.pairs is not None:
            source = {**source, PAIRS: write_pairs(writer.folder, generated.pairs)}
        writer.finish(mark_overlap(generated.samples, digests), source, generated.note)
        found = audit(name, generated.classes, generated.images, generated.samples, digests=digests)
        (writer.folder / AUDIT).write_text(found.as_json(), encoding="utf-8")


def _draw(name: str, manifest_path: Path) -> tuple[Generated, dict[str, str]]:
    """Read the embedded stills and render the hard faces for them, or render a whole set by its settings."""
    if name == SYNTHETIC[0]:
        from fer_repro.synthetic.challenge import extend_stills
        from fer_repro.synthetic.stills import read_stills

        images, table, manifest = read_stills(manifest_path.parent)
        generated = extend_stills(images, table, manifest["seed"])
        return replace(generated, note=f"{manifest['note']} {generated.note}"), manifest["files"]
    settings = _read_settings(name, manifest_path)
    draw = import_module(f"fer_repro.synthetic.{settings['kind']}").draw
    return draw(settings), {manifest_path.name: file_sha256(manifest_path)}


def _read_settings(name: str, path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc pull data.dvc`") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(settings, dict) or settings.get("kind") not in KINDS:
        kind = settings.get("kind") if isinstance(settings, dict) else None
        raise UserError(f"{path}: kind is {kind!r}; {nearest(str(kind), KINDS)}")
    if settings.get("name") != name:
        raise UserError(f"{path}: name is {settings.get('name')!r}: expected '{name}'")
    return settings


def _prepare_added(name: str, manifest_path: Path, out: Path) -> None:
    store = open_manifest(name, manifest_path, verify=True)
    digests = pixel_digests(store.images)
    found = examine(store, digests)
    with view_writer(out, store, mark_overlap(store.samples, digests), force=True) as folder:
        (folder / AUDIT).write_text(found.as_json(), encoding="utf-8")


def fitting_tasks(store: Store) -> tuple[str, ...]:
    """Name the tasks of the pipeline whose methods can train on a set, as ``params.TASKS`` has them.

    Those of identities are for ``pairs``, real and manipulated faces for ``forgeries``, resampled ones for
    ``traces``, sequences of measurements for ``sequences``, images with what they are to become for
    ``synthesis``, all others for the expressions of ``faces``, and
    for those of ``clips`` as well where the table has clips. None fits a set that nothing can be trained on;
    ``untrainable`` gives the reason.

    Raises:
        UserError: the set comes with pairs, and they are missing or were changed.
    """
    if untrainable(store):
        return ()
    if store.has_sequences:
        return ("sequences",)
    if store.has_wanted_images:
        return ("synthesis",)
    if has_pairs(store):
        return ("pairs",)
    if store.classes == REAL_OR_MANIPULATED:
        resampled = RESAMPLED in set(store.samples.get("forgery", ()))
        return ("traces",) if resampled else ("forgeries",)
    return ("faces", "clips") if (store.samples["clip"] != "").any() else ("faces",)


def untrainable(store: Store) -> str:
    """Return in one sentence why nothing can be trained on a set; "" where something can.

    Raises:
        UserError: the set comes with pairs, and they are missing or were changed.
    """
    name, samples = f"data set '{store.manifest.name}'", store.samples
    if not (samples["split"] == "train").any():
        return f"{name} has no training part: it is for evaluation only."
    if has_pairs(store):
        return _unpaired(store, name)
    absent = [split for split in SPLITS if not (samples["split"] == split).any()]
    if absent:
        return f"{name} has no sample of split {' and '.join(absent)}: expected some of train, val and test."
    learnt = sorted(set(samples["label"][samples["split"] == "train"]))
    if len(learnt) < 2 and not store.has_wanted_images:
        return f"{name} has only '{store.classes[learnt[0]]}' in train: expected two classes or more."
    return ""


def _unpaired(store: Store, name: str) -> str:
    pairs = open_pairs(store)
    if pairs.empty:
        return f"{name} has no pairs to test on: expected a list of them, or more people to draw one of."
    try:
        table, _ = identification_table(store.samples)
    except UserError as error:
        return f"{name} has too few people beside those of its pairs to learn from: {error}."
    if not (table["split"] == "val").any():
        return f"{name} has nobody with three images beside the people of its pairs: val needs one of three."
    learnt = set(table["subject"])
    lists = {str(kind): part for kind, part in pairs.groupby("list", sort=False)}
    known = {kind: bool(learnt & set(people_in(part, store.samples))) for kind, part in lists.items()}
    tested = next((lists[kind] for kind in lists if not known[kind]), None)
    if tested is None:
        return f"{name} has only pairs of people to learn from: expected a list of others."
    if not tested["fold"].any() and not any(known.values()):
        return f"{name} has pairs without folds, and none of other people to take a threshold from."
    return ""
