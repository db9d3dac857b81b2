"""Which tasks of the pipeline a set that was added fits, or why nothing can be trained on it."""

from fer_repro.datasets.identification import identification_table
from fer_repro.datasets.pairs import has_pairs, open_pairs, people_in
from fer_repro.datasets.samples import SPLITS
from fer_repro.datasets.store import Store
from fer_repro.datasets.video_faces import CLASSES as REAL_OR_MANIPULATED
from fer_repro.errors import UserError


def fitting_tasks(store: Store) -> tuple[str, ...]:
    """Name the tasks of the pipeline whose methods can train on a set, as ``params.TASKS`` has them.

    Those of identities are for ``pairs``, real and manipulated faces for ``forgeries``, all others for the
    expressions of ``faces``, and for those of ``clips`` as well where the table has clips. None fits a set
    that nothing can be trained on; ``untrainable`` says why.

    Raises:
        UserError: the set comes with pairs, and they are missing or were changed.
    """
    if untrainable(store):
        return ()
    if has_pairs(store):
        return ("pairs",)
    if store.classes == REAL_OR_MANIPULATED:
        return ("forgeries",)
    return ("faces", "clips") if (store.samples["clip"] != "").any() else ("faces",)


def untrainable(store: Store) -> str:
    """Say in one sentence why nothing can be trained on a set; "" where something can.

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
    if len(learnt) < 2:
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
