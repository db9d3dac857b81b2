"""The data doctor: counts against the published ones, label map, duplicates, blank images, leakage."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from fer_repro.datasets.names import spelling
from fer_repro.datasets.protocols import crossing_subjects
from fer_repro.datasets.samples import SPLITS


@dataclass(frozen=True)
class Official:
    """What is known about a data set, from its publisher or a careful count of the original.

    Attributes:
        counts: split -> samples per class, in class order.
        facts: some of ``Audit.facts``.
        fingerprint: ``Audit.fingerprint`` of the original, or "" if unknown.
        sizes: further sizes. The key is one or more splits ("train+val": samples, where part of the
            publisher's training is held out), a column of booleans (rows where it is true), or a column
            of names (different ones).
    """

    counts: dict[str, tuple[int, ...]]  # keys as "train" or "train+val"; {} if unknown
    facts: dict[str, int]
    fingerprint: str
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """What the doctor found.

    Attributes:
        name: the data set.
        classes: class names in label order.
        counts: split -> samples per class, in class order.
        facts: ``distinct_images``; ``duplicate_groups`` and the ``duplicate_samples`` in them (same pixels);
            ``conflicting_groups`` (same pixels, different labels); ``constant_images`` (one value all over);
            ``val_in_train``, ``test_in_train``, ``test_in_val`` (samples whose pixels are also there);
            ``subjects_known`` (samples with a subject) and ``subjects_crossing`` (subjects in two splits).
        fingerprint: sha256 over the sorted (split, label, pixels): the same for any order of the rows.
        constant: rows of the sample table whose image is blank.
        crossing: subjects that are in more than one split.
        official: the published counts, or None.
        differences: each deviation from the official set as text, and classes that cannot be trained on
            or tested: without images in a split, or named alike.
        sizes: as found, those of ``Official.sizes`` that the set has.
    """

    name: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    facts: dict[str, int]
    fingerprint: str
    constant: tuple[int, ...]
    crossing: tuple[str, ...]
    official: dict[str, tuple[int, ...]] | None = None
    differences: tuple[str, ...] = field(default=())
    sizes: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> str:
        """Byte-stable JSON: sorted keys, two spaces; ``sizes`` only where there are any."""
        values = {key: value for key, value in asdict(self).items() if key != "sizes" or value}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def count_table(self) -> pd.DataFrame:
        """Samples per split (rows) and class (columns), with totals; official rows beneath where known."""
        rows = dict(self.counts)
        if self.official is not None:
            rows |= {f"{part}, official": counts for part, counts in self.official.items()}
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(self.classes))
        return table.assign(total=table.sum(axis=1))

    def text(self) -> str:
        """All findings as text."""
        lines = [
            f"{self.name}: {sum(map(sum, self.counts.values()))} samples",
            "labels: " + ", ".join(f"{number} {name}" for number, name in enumerate(self.classes)),
            "",
            self.count_table().to_string(),
            "",
            *self._facts_in_words(),
        ]
        if self.sizes:
            lines.append("sizes: " + ", ".join(f"{key} {count}" for key, count in self.sizes.items()))
        if self.differences:
            lines += ["", *self.differences]
        elif self.official is not None or self.sizes:
            lines += ["", "Everything is as in the official set."]
        return "\n".join(lines)

    def _facts_in_words(self) -> list[str]:
        facts = self.facts
        lines = [
            f"{facts['distinct_images']} distinct images; {facts['duplicate_groups']} groups of identical "
            f"images ({facts['duplicate_samples']} samples), {facts['conflicting_groups']} of them with "
            "conflicting labels",
            f"{facts['constant_images']} blank images (one value everywhere)",
            f"identical images across splits: {facts['val_in_train']} val samples also in train, "
            f"{facts['test_in_train']} test samples also in train, {facts['test_in_val']} also in val",
        ]
        if facts["subjects_known"]:
            named = f" ({', '.join(self.crossing[:5])})" if self.crossing else ""
            lines.append(f"subjects in more than one split: {facts['subjects_crossing']}{named}")
        else:
            lines.append("subjects are unknown: a person may be in two splits")
        return lines


def pixel_digests(images: np.ndarray) -> np.ndarray:
    """One digest per image, (N,) of 32 hexadecimal digits; equal digests mean equal pixels.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8, read image by image so that a memory map stays on disk.
    """
    return np.array(
        [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest() for image in images],
        "S32",
    )


def mark_overlap(samples: pd.DataFrame, digests: np.ndarray) -> pd.DataFrame:
    """Add ``in_training`` and ``in_public``: the same pixels are also in an earlier split.

    Args:
        samples: the sample table.
        digests: (N,) one per image, from ``pixel_digests``.

    Returns:
        The table with two more columns: ``in_training`` is true for val and test samples whose pixels occur
        in train, ``in_public`` for test samples whose pixels occur in val (FER2013's PublicTest).
    """
    pixels = pd.Series(_groups(samples, digests), index=samples.index)
    split = samples["split"]
    in_train = pixels.isin(pixels[split == "train"]) & (split != "train")
    in_val = pixels.isin(pixels[split == "val"]) & (split == "test")
    return samples.assign(in_training=in_train, in_public=in_val)


def audit(
    name: str,
    classes: Sequence[str],
    images: np.ndarray,
    samples: pd.DataFrame,
    official: Official | None = None,
    digests: np.ndarray | None = None,
) -> Audit:
    """Examine a data set.

    Args:
        name: the data set.
        classes: class names in label order.
        images: (N, H, W) or (N, H, W, 3) uint8.
        samples: the sample table.
        official: what to compare with, if anything is published.
        digests: ``pixel_digests(images)`` if they are known already.
    """
    digests = pixel_digests(images) if digests is None else digests
    constant = _constant_rows(images, samples)
    crossing = crossing_subjects(samples)
    counts = {
        split: tuple(
            np.bincount(samples.loc[samples["split"] == split, "label"], minlength=len(classes)).tolist()
        )
        for split in SPLITS
    }
    facts = {
        **_repetitions(samples, digests),
        "constant_images": len(constant),
        "subjects_known": int((samples["subject"] != "").sum()),
        "subjects_crossing": len(crossing),
    }
    fingerprint = _fingerprint(samples, digests)
    measured = _sizes(samples, official) if official else {}
    return Audit(
        name=name,
        classes=tuple(classes),
        counts=counts,
        facts=facts,
        fingerprint=fingerprint,
        constant=constant,
        crossing=crossing,
        official=official.counts if official and official.counts else None,
        differences=(
            *_unusable_classes(classes, counts),
            *(_differences(classes, counts, facts | measured, fingerprint, official) if official else ()),
        ),
        sizes=measured,
    )


def named_alike(names: Sequence[str], what: str) -> tuple[str, ...]:
    """List which names differ only in capitals, blanks or Unicode form: mostly one name spelt twice.

    Args:
        names: of classes or people.
        what: these are, for the message.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(spelling(name), []).append(name)
    return tuple(
        f"{what} {' and '.join(map(repr, group))} differ only in capitals, blanks or Unicode form"
        for group in groups.values()
        if len(group) > 1
    )


def _unusable_classes(classes: Sequence[str], counts: dict[str, tuple[int, ...]]) -> list[str]:
    """List the classes that are tested but not trained on, or trained on but not tested."""
    if not any(counts["train"]):
        return []  # a set to test on
    lines = []
    learnt = [name for name, count in zip(classes, counts["train"], strict=True) if count]
    for number, name in enumerate(classes):
        found = {split: counts[split][number] for split in SPLITS if any(counts[split])}
        if not any(found.values()):
            lines.append(f"class '{name}' has no images")
        elif not found["train"]:
            alike = [other for other in learnt if spelling(other) == spelling(name)]
            hint = f"; did you mean '{alike[0]}'?" if alike else ""
            lines.append(f"class '{name}' has no training images, and {sum(found.values())} others{hint}")
        else:
            lines += [f"class '{name}' has no {split} images" for split, count in found.items() if not count]
    return [*lines, *named_alike(classes, "classes")]


def _groups(samples: pd.DataFrame, digests: np.ndarray) -> np.ndarray:
    """Per sample, the number of its group of identical images."""
    _, groups = np.unique(digests, return_inverse=True)
    return groups[samples["image"].to_numpy()]


def _repetitions(samples: pd.DataFrame, digests: np.ndarray) -> dict[str, int]:
    """Count identical images: in all, with different labels, and in two splits."""
    sizes = samples.groupby(_groups(samples, digests))["label"].agg(["size", "nunique"])
    repeated, marked = sizes["size"] > 1, mark_overlap(samples, digests)
    test = marked["split"] == "test"
    return {
        "distinct_images": len(sizes),
        "duplicate_groups": int(repeated.sum()),
        "duplicate_samples": int(sizes.loc[repeated, "size"].sum()),
        "conflicting_groups": int((sizes["nunique"] > 1).sum()),
        "val_in_train": int((marked["in_training"] & ~test).sum()),
        "test_in_train": int((marked["in_training"] & test).sum()),
        "test_in_val": int(marked["in_public"].sum()),
    }


def _constant_rows(images: np.ndarray, samples: pd.DataFrame) -> tuple[int, ...]:
    blank = np.array([bool((image == image.flat[0]).all()) for image in images])
    return tuple(np.flatnonzero(blank[samples["image"].to_numpy()]).tolist())


def _sizes(samples: pd.DataFrame, official: Official) -> dict[str, int]:
    """Measure what ``Official.sizes`` names; columns that the set does not have are left out."""
    found = {}
    for key in official.sizes:
        if key in samples:
            values = samples[key]
            truths = values.dtype == bool
            found[key] = int(values.sum() if truths else values[values != ""].nunique())
        elif set(key.split("+")) <= set(SPLITS):
            found[key] = int(samples["split"].isin(key.split("+")).sum())
    return found


def _fingerprint(samples: pd.DataFrame, digests: np.ndarray) -> str:
    entries = sorted(
        f"{split} {label} ".encode() + bytes(digests[image])
        for image, label, split in samples[["image", "label", "split"]].itertuples(index=False)
    )
    return hashlib.sha256(b"\n".join(entries)).hexdigest()


def _differences(
    classes: Sequence[str],
    counts: dict[str, tuple[int, ...]],
    facts: dict[str, int],
    fingerprint: str,
    official: Official,
) -> tuple[str, ...]:
    lines = []
    for part, expected_counts in official.counts.items():
        found_counts = np.sum([counts[split] for split in part.split("+")], axis=0).tolist()
        lines += [
            f"{part} {name}: {found} samples, official {expected} ({found - expected:+d})"
            for name, found, expected in zip(classes, found_counts, expected_counts, strict=True)
            if found != expected
        ]
    lines += [
        f"{key.replace('_', ' ')}: {facts[key]}, official {expected} ({facts[key] - expected:+d})"
        for key, expected in (official.facts | official.sizes).items()
        if key in facts and facts[key] != expected
    ]
    if official.fingerprint and fingerprint != official.fingerprint:
        lines.append(
            "the pixels, labels or splits are not those of the original file (JPEG copies differ, too)"
        )
    return tuple(lines)
