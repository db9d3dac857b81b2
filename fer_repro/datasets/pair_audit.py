"""The data doctor for sets of identities: people and pairs, where ``audit`` counts classes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from fer_repro.datasets.audit import Audit, audit, named_alike
from fer_repro.datasets.pairs import open_pairs, pair_facts
from fer_repro.datasets.samples import SPLITS
from fer_repro.datasets.store import Store

_LIST_FACTS = ("pairs", "same", "folds", "people", "people_crossing_folds", "repeated_pairs")


@dataclass(frozen=True)
class PeopleAudit(Audit):
    """What the doctor found in a set of identities; ``facts`` holds those of the pairs, too.

    Attributes:
        people: split -> people.
        known: the facts that are published or were counted once; ``differences`` is measured by them.
    """

    people: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)

    def people_table(self) -> pd.DataFrame:
        """People and images of each split."""
        images = {split: sum(self.counts[split]) for split in SPLITS}
        return pd.DataFrame({"people": self.people, "images": images}).loc[list(SPLITS)]

    def list_table(self) -> pd.DataFrame:
        """One row per list, with people crossing folds and repeated pairs."""
        names = [key.removesuffix("_repeated_pairs") for key in self.facts if key.endswith("_repeated_pairs")]
        rows = [[self.facts[f"{name}_{fact}"] for fact in _LIST_FACTS] for name in names]
        return pd.DataFrame(rows, index=names, columns=[fact.replace("_", " ") for fact in _LIST_FACTS])

    def text(self) -> str:
        """All findings as text."""
        lists, shared = self.list_table(), {k: n for k, n in self.facts.items() if k.startswith("people_in_")}
        lines = [
            f"{self.name}: {sum(map(sum, self.counts.values()))} images of {len(self.classes)} people, "
            f"{self.facts['people_with_several_images']} of them with two or more",
            f"labels: 0 {self.classes[0]} to {len(self.classes) - 1} {self.classes[-1]}",
            "",
            self.people_table().to_string(),
            "",
            "no pairs" if lists.empty else lists.to_string(),
            *(
                f"{key.replace('_and_', ' and ').replace('people_in_', 'people in ')}: {n}"
                for key, n in shared.items()
            ),
            "",
            *self._facts_in_words(),
        ]
        if self.differences:
            lines += ["", *self.differences]
        elif self.known:
            lines += ["", "Everything is as in the official set."]
        return "\n".join(lines)


def audit_people(
    store: Store, known: Mapping[str, int] | None = None, digests: np.ndarray | None = None
) -> PeopleAudit:
    """Examine a set of identities with its pairs.

    Args:
        store: the set.
        known: facts of the official set, to compare with.
        digests: ``pixel_digests`` of the images if they are known already.

    Raises:
        UserError: its pairs are missing or were changed.
    """
    samples, known = store.samples, dict(known or {})
    found = audit(store.manifest.name, store.classes, store.images, samples, None, digests)
    facts = {**found.facts, **pair_facts(open_pairs(store), samples)}
    people = {split: int(samples.loc[samples["split"] == split, "subject"].nunique()) for split in SPLITS}
    differences = named_alike(store.classes, "people") + tuple(
        f"{key.replace('_', ' ')}: {facts.get(key, 0)}, official {expected} "
        f"({facts.get(key, 0) - expected:+d})"
        for key, expected in known.items()
        if facts.get(key, 0) != expected
    )
    kept = {key: value for key, value in asdict(found).items() if key not in ("facts", "differences")}
    return PeopleAudit(**kept, facts=facts, differences=differences, people=people, known=known)
