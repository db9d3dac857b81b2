"""Rows and evidence of probes: lower is better, chance is the aim, people are drawn together."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.evaluation.blinded import probe_bars, read_and_verified
from fer_repro.evaluation.evidence import probe_evidence
from fer_repro.evaluation.probe_rows import probe_rows
from fer_repro.evaluation.row_form import COLUMNS, Subject
from fer_repro.runs.folder import PairRun

SUBJECT = Subject("blinding", "2009.08704", "synthetic_pairs", "none", "a small note")
CONFIG = {"recipe": {"epochs": 4}, "data": {}}
SAMPLES = pd.DataFrame(
    {"label": [2, 2, 1, *([0, 1, 2, 2] * 4)], "split": ["train"] * 3 + ["test"] * 16,
     "subject": ["t"] * 3 + [f"s{n // 4}" for n in range(16)]}
)  # fmt: skip
PAIRS = pd.DataFrame(
    {"list": "test", "first": [3, 4, 5, 6], "second": [7, 8, 9, 10], "same": [1, 0, 1, 0],
     "fold": [1, 1, 2, 2], "score": [0.9, 0.1, 0.9, 0.1]}
)  # fmt: skip


def run(arm, seed, wrong):
    """A run of whose 16 faces the first ``wrong`` are misread by the linear probe, two more by the other."""
    target = SAMPLES["label"].to_numpy()[3:]
    read = {
        kind: np.where(np.arange(16) < count, (target + 1) % 3, target)
        for kind, count in (("linear", wrong), ("mlp", wrong + 2))
    }
    probes = pd.DataFrame({"sample": np.arange(3, 19), "target": target, **read})
    return PairRun(arm, seed, CONFIG, PAIRS, probes)


RUNS = [
    run(arm, seed, wrong + seed)
    for arm, wrong in (("null_space", 8), ("random_subspace", 4))
    for seed in (0, 1, 2)
]


def test_rows_hold_what_is_read_and_what_needs_no_embedding():
    rows, intervals = probe_rows(RUNS, SAMPLES, SUBJECT, "random_subspace", 0.95, 50)
    assert list(rows) == list(COLUMNS)
    means = rows[rows["seed"].eq("") & rows["metric"].eq("linear_probe")].set_index("arm")["value"]
    assert means["null_space"] == pytest.approx(100 * (8 + 7 + 6) / 48)
    assert means["majority_class"] == 50  # label 2, of the training faces
    assert means["null_space - random_subspace"] == pytest.approx(-25)
    assert set(intervals["metric"]) == {"linear_probe", "mlp_probe"}
    bare = [PairRun("null_space", 0, CONFIG, PAIRS)]
    assert probe_rows(bare, SAMPLES, SUBJECT, "random_subspace", 0.95, 50)[0].empty


def test_hiding_more_is_a_gain_and_chance_no_failure():
    linear, network = probe_evidence(RUNS, SAMPLES, SUBJECT)
    assert (linear.metric, network.metric, linear.protocol) == ("linear_probe", "mlp_probe", "official")
    assert linear.gain("null_space", "random_subspace").value == pytest.approx(25)
    assert network.gain("null_space", "random_subspace").value == pytest.approx(25)
    assert linear.gain("null_space", "random_subspace").groups == 4
    assert linear.by_seed("null_space")[0] == 50 == linear.chance
    assert not linear.is_at_chance("null_space")
    assert probe_evidence([PairRun("null_space", 0, CONFIG, PAIRS)], SAMPLES, SUBJECT) == []


def test_the_better_probe_counts_beside_the_pairs():
    points = read_and_verified(RUNS).set_index(["arm", "seed"])
    assert points.loc[("random_subspace", 1), "read"] == pytest.approx(11 / 16)
    assert points["pairs"].eq(1).all()
    bars = probe_bars(RUNS, 0.95).set_index(["arm", "class"])
    assert bars.loc[("null_space", "small network"), "value"] == pytest.approx(15 / 48)
    assert bars["low"].lt(bars["value"]).all()
