from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluated_project import sample_table, write_classes, write_data, write_params, write_run
from judged import CLAIM, CLAIMS, DRAWN

from fer_repro.evaluation import finished
from fer_repro.evaluation.evidence import read_evidence
from fer_repro.evaluation.finished import judge_runs
from fer_repro.evaluation.ledger import judge
from fer_repro.files import read_yaml
from fer_repro.runs.folder import open_runs

PARAMS = Path(__file__).parents[2] / "params.yaml"
WHERE = replace(DRAWN, dataset="small")
SMALL = {**CLAIMS.data_sets, "small": CLAIMS.data_sets["synthetic"]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Three arms of two seeds, and two claims: masks beat the network without, and beat sigmoid masks."""
    arms = ("masked", "no_mask", "masked_sigmoid")
    params, model = write_params(tmp_path, PARAMS, "rmn", arms)
    samples = sample_table([0, 1, 2] * 30, ["train"] * 30 + ["val"] * 30 + ["test"] * 30)
    write_data(tmp_path, samples, ("a", "b", "c"))
    generator = np.random.default_rng(0)
    for arm in arms:
        for seed in (0, 1):
            logits = np.eye(3)[samples["label"][30:]] + generator.normal(0, 1, (60, 3))
            write_classes(write_run(tmp_path, "rmn", arm, seed, model), ("a", "b", "c"), samples, logits)
    first = replace(CLAIM, stand_ins=(WHERE,))
    second = replace(first, id="third", against=("masked_sigmoid",))
    claims = replace(CLAIMS, claims=(first, second), data_sets=SMALL)
    monkeypatch.setattr(finished, "read_claims", lambda *_: claims)
    return params, ("rmn", "small"), {"runs_root": tmp_path / "runs", "prepared_root": tmp_path / "prepared"}


def expected(home, **chosen):
    params, (method, dataset), places = home
    evidence = read_evidence(open_runs(params, method, dataset, **places, **chosen))
    ledger = judge(finished.read_claims(), evidence, read_yaml(PARAMS)["evaluation"]["confidence"])
    return ledger[ledger["verdict"] != "not attempted"]


def test_claims_are_held_against_the_runs(home):
    params, pair, places = home
    found = judge_runs(open_runs(params, *pair, **places))
    assert found["claim"].tolist() == ["masks", "third"]
    assert found["dataset"].tolist() == ["small", "small"]
    assert found["seeds"].tolist() == [2, 2]
    pd.testing.assert_frame_equal(found, expected(home))


def test_arms_and_seeds_may_be_chosen(home):
    params, pair, places = home
    found = judge_runs(open_runs(params, *pair, **places, seeds=[1], arms=["masked", "no_mask"]))
    assert found["claim"].tolist() == ["masks"]
    assert found["seeds"].tolist() == [1]
    pd.testing.assert_frame_equal(found, expected(home, seeds=[1], arms=["masked", "no_mask"]))


def test_runs_are_looked_for_where_the_stages_put_them(home, monkeypatch):
    params, pair, places = home
    monkeypatch.chdir(params.parent)
    found = judge_runs(open_runs(params, *pair))
    pd.testing.assert_frame_equal(found, judge_runs(open_runs(params, *pair, **places)))
