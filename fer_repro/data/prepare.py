"""The pipeline's first stage: what params.yaml names becomes prepared/<name>, with its audit beside it."""

import json
from pathlib import Path

from fer_repro.data.adding import dataset_names, examine, is_addable, open_manifest
from fer_repro.data.audit import audit, mark_overlap, pixel_digests
from fer_repro.data.protocols import check_subjects
from fer_repro.data.store import Store, open_store, store_writer, view_writer
from fer_repro.errors import UserError, nearest

AUDIT = "audit.json"
SYNTHETIC = "synthetic"


def prepare_dataset(name: str, manifest_path: Path | str, out: Path | str) -> Store:
    """Bring a data set into the form that training reads, replacing what stood there.

    Args:
        name: the data set, a key of ``datasets`` in params.yaml.
        manifest_path: its manifest, the value of that key.
        out: the folder to write, usually ``prepared/<name>``. For synthetic faces it holds the images; for
            added sets only ``samples.csv`` (with ``in_training`` and ``in_public``), a manifest that points
            to the images where they are, and the audit.

    Raises:
        UserError: the set is unknown, was not added yet, or is damaged.
    """
    manifest_path, out = Path(manifest_path), Path(out)
    if name == SYNTHETIC:
        _prepare_synthetic(name, manifest_path, out)
    elif is_addable(name):
        _prepare_added(name, manifest_path, out)
    else:
        raise UserError(f"data set '{name}' is unknown; {nearest(name, (SYNTHETIC, *dataset_names()))}")
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
    from fer_repro.data.synthetic.strips import read_stills  # a set that was added needs no renderer

    images, table, manifest = read_stills(manifest_path.parent)
    check_subjects(table, str(manifest_path.parent))
    digests = pixel_digests(images)
    with store_writer(out, name, manifest["classes"], force=True) as writer:
        writer.append(images)
        writer.finish(mark_overlap(table, digests), manifest["files"], manifest["note"])
        found = audit(name, manifest["classes"], images, table, digests=digests)
        (writer.folder / AUDIT).write_text(found.as_json(), encoding="utf-8")


def _prepare_added(name: str, manifest_path: Path, out: Path) -> None:
    store = open_manifest(name, manifest_path, verify=True)
    digests = pixel_digests(store.images)
    found = examine(store, digests)
    with view_writer(out, store, mark_overlap(store.samples, digests), force=True) as folder:
        (folder / AUDIT).write_text(found.as_json(), encoding="utf-8")
