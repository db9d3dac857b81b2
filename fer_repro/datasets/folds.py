"""Subject-independent folds, and what is held out of training for validation."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.names import is_listed_file
from fer_repro.datasets.protocols import check_subjects
from fer_repro.errors import UserError, nearest

FOLDS = 10
REAL_KINDS = ("", "none")
"""What the column ``forgery`` holds for real faces."""
CKPLUS_LIST = "emotion_fan_10fold.txt"
CKPLUS_SUBJECTS = 118  # with a labelled sequence
_HEADER = re.compile(r"(\d{1,9})-fold (\d{1,9})\b")
_ENTRY = re.compile(r"(S\d+/\d+) (\w+)$")
_SHARE = 8  # one training sample in eight: FER2013's own ratio, 3589 to 28709
HELD_OUT = f"one in {_SHARE} of the training images (by the sha256 of its pixels) is val"


def held_out(key: bytes) -> bool:
    """Return whether what ``key`` identifies goes to val: one in eight, a pure function of its sha256.

    Keys are pixels, so that identical images stay in one part, or names of clips or movies.
    """
    return hashlib.sha256(key).digest()[0] % _SHARE == 0


def subject_folds(subjects: Iterable[str], count: int = FOLDS) -> dict[str, int]:
    """Assign the subjects, sorted by name, to folds 1, 2, ..., ``count``, 1, 2, ...

    On the 118 labelled subjects of CK+ this is the published list of FAN (arXiv:1907.00193).

    Raises:
        UserError: there are fewer subjects than folds, or one has no name.
    """
    names = sorted(set(subjects))
    if len(names) < count or "" in names:
        raise UserError(
            f"{len(names)} subjects: expected at least {count}, all with a name, for {count} folds"
        )
    return {name: number % count + 1 for number, name in enumerate(names)}


def fold_split(samples: pd.DataFrame, fold: int, where: str = "samples.csv") -> pd.DataFrame:
    """Set ``split`` for one fold of the cross-validation.

    Args:
        samples: a sample table with a column ``fold`` of 1, 2, ..., K.
        fold: the fold to test on. The next one, after the last the first, is val; all others are train.
        where: the file for messages.

    Returns:
        A copy of the table with ``split`` replaced; nobody is in two splits.

    Raises:
        UserError: there is no such column or fold, or a subject is in two folds.
    """
    if "fold" not in samples:
        raise UserError(f"{where}: column 'fold' is missing; this data set has no folds")
    folds = sorted(set(samples["fold"].tolist()))
    if fold not in folds or len(folds) < 3:
        raise UserError(
            f"{where}: fold is {fold!r}: expected one of {', '.join(map(str, folds))}, three or more"
        )
    following = folds[(folds.index(fold) + 1) % len(folds)]
    split = np.where(samples["fold"] == fold, "test", np.where(samples["fold"] == following, "val", "train"))
    changed = samples.assign(split=split)
    check_subjects(changed, where)
    return changed


def read_fold_list(path: Path) -> dict[str, tuple[int, str]]:
    """Read the list of Open-Debin/Emotion-FAN: a head line per fold, then lines ``Sxxx/yyy Label``.

    Returns:
        Sequence -> its fold, from 1, and its label as written there.

    Raises:
        UserError: naming the line that is neither, a sequence given twice, a fold whose head line states
            another number of sequences, or a subject in two folds.
    """
    found: dict[str, tuple[int, str]] = {}
    announced: dict[int, int] = {}
    subjects: dict[str, int] = {}
    fold = 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        where = f"{path}: line {number}"
        if head := _HEADER.match(line):
            fold = int(head[1])
            announced[fold] = int(head[2])
        elif entry := _ENTRY.match(line.strip()):
            sequence, subject = entry[1], entry[1].partition("/")[0]
            if fold == 0 or sequence in found:
                raise UserError(f"{where}: '{sequence}' {'has no fold' if fold == 0 else 'is given twice'}")
            if subjects.setdefault(subject, fold) != fold:
                raise UserError(f"{where}: subject '{subject}' is in folds {subjects[subject]} and {fold}")
            found[sequence] = (fold, entry[2])
        elif line.strip():
            raise UserError(f"{where}: {line[:40]!r}: expected 'k-fold n ...' or 'Sxxx/yyy Label'")
    for fold, count in announced.items():
        here = sum(number == fold for number, _ in found.values())
        if here != count:
            raise UserError(f"{path}: fold {fold} has {here} sequences: its head line states {count}")
    return found


def ckplus_folds(labels: Mapping[str, str], folder: Path) -> tuple[dict[str, int], str]:
    """Give each CK+ sequence its fold: by the published list if it lies in ``folder``, else by its rule.

    Args:
        labels: sequence ``Sxxx/yyy`` -> class name, lower case.
        folder: where ``emotion_fan_10fold.txt`` may lie.

    Returns:
        Sequence -> fold 1 ... 10, and a note on where the folds come from.

    Raises:
        UserError: a sequence is not in the list or has another label, or there are fewer than ten subjects.
    """
    path = folder / CKPLUS_LIST
    subjects = {sequence.partition("/")[0] for sequence in labels}
    if not is_listed_file(path):
        folds = subject_folds(subjects)
        note = f"Folds: subjects sorted and assigned to ten folds; {CKPLUS_LIST} is not there to confirm it."
        if len(subjects) != CKPLUS_SUBJECTS:
            note += f" {len(subjects)} subjects, not {CKPLUS_SUBJECTS}: they are not the published folds."
        return {sequence: folds[sequence.partition("/")[0]] for sequence in labels}, note
    listed = read_fold_list(path)
    for sequence, label in labels.items():
        if sequence not in listed:
            raise UserError(
                f"{path}: sequence '{sequence}' is missing; expected all {len(labels)} of {folder}"
            )
        if listed[sequence][1].lower()[:3] != label[:3]:  # Angry and anger, Sad and sadness
            raise UserError(f"{path}: '{sequence}' is '{listed[sequence][1]}': {folder} has it as '{label}'")
    return {sequence: listed[sequence][0] for sequence in labels}, f"Folds as published in {CKPLUS_LIST}."


def manipulations(samples: pd.DataFrame, where: str) -> np.ndarray:
    """Name what manipulated each face of a sample table, (N,) texts; "" where it is real.

    Raises:
        UserError: the table does not name the kinds, or not of a manipulated face of train, val or test.
    """
    if "forgery" not in samples:
        raise UserError(f"{where}: column 'forgery' is missing; this data set does not name manipulations")
    names = samples["forgery"].to_numpy(str)
    names = np.where(np.isin(names, REAL_KINDS), "", names)
    unnamed = np.flatnonzero((samples["label"].to_numpy() != 0) & (names == ""))
    if len(unnamed):
        raise UserError(
            f"{where}: row {unnamed[0] + 1} is manipulated, and forgery is empty: expected its kind"
        )
    return names


def without_kind(samples: pd.DataFrame, kind: str, where: str = "samples.csv") -> pd.DataFrame:
    """Leave a kind of manipulation out of train and val; the test part stays as it is.

    Args:
        samples: a sample table with a column ``forgery``.
        kind: one of its kinds.
        where: the file for messages.

    Returns:
        Rows of ``samples`` under their own index.

    Raises:
        UserError: see ``manipulations``; or the set does not have the kind, or no other one to learn.
    """
    names = manipulations(samples, where)
    known = sorted(set(names) - {""})
    if kind not in known:
        raise UserError(f"{where}: the manipulation '{kind}' is to be left out; {nearest(kind, known)}")
    kept = samples[(names != kind) | samples["split"].eq("test").to_numpy()]
    before, after = (set(table.loc[table["label"] != 0, "split"]) for table in (samples, kept))
    for split in sorted(before - after):
        raise UserError(f"{where}: without '{kind}' the part {split} has no manipulated face left to learn")
    return kept


def kind_labels(samples: pd.DataFrame, count: int, where: str = "samples.csv") -> pd.DataFrame:
    """Make kinds of manipulation the classes of the training part: 0 real, then the kinds sorted by name.

    Args:
        samples: a sample table with a column ``forgery``.
        count: of the kinds that the network has classes for.
        where: the file for messages.

    Returns:
        A copy of the table; labels of other parts stay.

    Raises:
        UserError: see ``manipulations``; or the training part has another number of kinds.
    """
    names, train = manipulations(samples, where), samples["split"].eq("train").to_numpy()
    kinds = sorted(set(names[train]) - {""})
    if len(kinds) != count:
        raise UserError(
            f"{where}: the training part has {len(kinds)} kinds of manipulation, {', '.join(kinds)}: the "
            f"network has classes for {count} (kinds)"
        )
    labels = np.searchsorted(["", *kinds], np.where(train, names, ""))
    return samples.assign(label=np.where(train, labels, samples["label"]))


def identification_table(
    samples: pd.DataFrame, people: Collection[str] | None = None, least: int = 2
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Make the table on which a network learns to distinguish people, before it is tested on pairs of others.

    In a set of identities the splits share no person, so an epoch cannot be chosen by the accuracy on its
    ``val``. Here one image of each person with three or more is held out as ``val``, and all others are
    ``train``; there is no test part, because the test is the pairs.

    Args:
        samples: the sample table of a set of identities, or of synthetic faces.
        people: whom to train on; those of the training split if left out.
        least: leave out people with fewer images.

    Returns:
        Rows of ``samples`` under their own index, with labels from 0; and the people in label order.

    Raises:
        UserError: fewer than two people are left.
    """
    wanted = (samples["split"] == "train") if people is None else samples["subject"].isin(list(people))
    chosen = samples[wanted & (samples["subject"] != "")]
    counts = chosen["subject"].value_counts()
    chosen = chosen[chosen["subject"].map(counts) >= least]
    names, labels = np.unique(chosen["subject"].to_numpy(object), return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"{len(names)} people have {least} images or more among {len(samples)} samples: expected at "
            "least two to distinguish"
        )
    order = pd.Series(hashes(0, Stream.SUBSET, 0, chosen.index.to_numpy()), index=chosen.index)
    held_out = order.groupby(chosen["subject"].to_numpy(object)).idxmin()
    held_out = held_out[counts.reindex(held_out.index).to_numpy() >= 3]
    split = np.where(chosen.index.isin(held_out.to_numpy()), "val", "train")
    return chosen.assign(label=labels, split=split), tuple(map(str, names))


def hidden_labels(people: pd.DataFrame, samples: pd.DataFrame, count: int, where: str) -> pd.DataFrame:
    """Join the label of each training face to its person: person + people x label.

    Args:
        people: from ``identification_table``; labels of other parts than ``train`` stay.
        samples: the sample table it was made of.
        count: of the labels that the network learns to hide.
        where: the file for messages.

    Returns:
        A copy of ``people``.

    Raises:
        UserError: the training faces have a label beyond ``count``, or each person's are the same, so that
            the label names the person.
    """
    train = people["split"].eq("train")
    labels = samples["label"].loc[people.index]
    if labels[train].max() >= count:
        raise UserError(
            f"{where}: the training faces have the label {labels[train].max()}: the network hides {count}, "
            "from 0 (expressions)"
        )
    if labels[train].groupby(people["label"][train]).nunique().max() < 2:
        raise UserError(
            f"{where}: every person's faces have one label: expected labels that differ between faces of a "
            "person, for what names the person cannot be hidden"
        )
    persons = people["label"].nunique()
    return people.assign(label=people["label"] + np.where(train, persons * labels, 0))
