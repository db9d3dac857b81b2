"""Scores of stages, all orders and rates, against loops over faces."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from untrained_runs import write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.cascade_orders import (
    StageScores,
    accuracy_of_orders,
    budget_lines,
    independence_table,
    order_spread,
    stage_scores,
    stage_table,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.runs.predictions import Predictions, write_predictions

NAMES = ("angry", "happy", "sad", "surprise", "fear")
FACES = pd.DataFrame({"label": [0, 1, 2, 3], "subject": list("abcd"), "clip": "", "split": "test"})


def drawn(seed=0, n=60):
    draws = np.random.default_rng(seed)
    targets = np.arange(n) % 5
    stages, rest = draws.uniform(0, 0.6, (n, 3)), draws.dirichlet(np.ones(2), n)
    for s, c in enumerate((1, 3, 2)):
        stages[targets == c, s] += 0.4
    return StageScores((1, 3, 2), stages, rest, targets, NAMES)


SCORES = {"cascade": [drawn(0), drawn(1)], "flat": [drawn(2), drawn(3)]}


def cascade_answers(scores, order, threshold):
    """Soft and hard answers of every face, one stage after the other."""
    soft, hard = [], []
    for p, q in zip(scores.stages, scores.rest, strict=True):
        left, shares, first = 1.0, {}, None
        for c in order:
            mine = p[scores.decided.index(c)]
            shares[c], left = left * mine, left * (1 - mine)
            first = c if first is None and mine >= threshold else first
        shares |= {c: left * share for c, share in zip((0, 4), q, strict=True)}
        soft.append(max(shares, key=shares.get))
        hard.append((0, 4)[int(q.argmax())] if first is None else first)
    return np.array(soft), np.array(hard)


@pytest.mark.parametrize("arm", ["cascade", "flat"])
def test_scores_are_those_of_the_networks(tmp_path, arm):
    store = write_images(tmp_path / "small", FACES, NAMES)
    folders, networks = {}, {}
    for name in ("cascade", "flat"):
        networks[name] = write_untrained(tmp_path / "runs", "cascade", "synthetic", name, 0, 5, NAMES)
        folder = run_folder(tmp_path / "runs", "synthetic", "cascade", 0, name)
        images = clean_images(torch.from_numpy(np.array(store.images))[:, None], 32)
        with torch.no_grad():
            output = networks[name](images)
        logits = (output if name == "flat" else output.logits).numpy()
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        targets = FACES["label"].to_numpy()
        splits = np.array(["test"] * 4)
        write_predictions(
            folder / "predictions.csv", Predictions(NAMES, np.arange(4), splits, targets, logits, shares)
        )
        folders[name] = {0: folder}
        if name == arm:
            kept, probabilities = output, shares
    (found,) = stage_scores(folders, store)[arm]
    assert found.decided == (1, 3, 2)
    assert found.others == [0, 4]
    if arm == "cascade":
        np.testing.assert_allclose(found.stages, kept.scores.sigmoid().numpy(), atol=1e-5)
        np.testing.assert_allclose(found.rest, kept.rest.softmax(1).numpy(), atol=1e-5)
    else:
        np.testing.assert_allclose(found.stages, probabilities[:, [1, 3, 2]], atol=1e-6)
        last = probabilities[:, [0, 4]]
        np.testing.assert_allclose(found.rest, last / last.sum(1, keepdims=True), atol=1e-6)
    with pytest.raises(UserError, match="arms flat: expected one whose network decides in stages"):
        stage_scores({"flat": folders["flat"]}, store)


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_every_order_is_that_of_a_loop(threshold):
    table = accuracy_of_orders(SCORES, threshold)
    assert len(table) == 2 * 6
    for arm, seeds in SCORES.items():
        for order in itertools.permutations((1, 3, 2)):
            names = ", ".join(NAMES[c] for c in order)
            (row,) = table[(table["arm"] == arm) & (table["order"] == names)].to_dict("records")
            answers = [cascade_answers(each, order, threshold) for each in seeds]
            for kind, place in (("soft", 0), ("hard", 1)):
                right = [
                    (answer[place] == each.targets).mean()
                    for answer, each in zip(answers, seeds, strict=True)
                ]
                assert row[kind] == pytest.approx(sum(right) / 2)
            assert row["given"] == (order == (1, 3, 2))
        assert table.loc[table["arm"] == arm, "soft"].is_monotonic_decreasing


def test_the_place_of_the_papers_order_counts_the_better_ones():
    orders = pd.DataFrame(
        [
            ["cascade", "a", 0.9, 0.5, False],
            ["cascade", "b", 0.8, 0.7, True],
            ["cascade", "c", 0.8, 0.6, False],
        ],
        columns=["arm", "order", "soft", "hard", "given"],
    )
    soft, hard = order_spread(orders).to_dict("records")
    assert (soft["its place"], hard["its place"]) == ("2 of 3", "1 of 3")
    assert soft["best"] == "90.0%, a"
    assert (hard["best"], hard["worst"]) == ("70.0%, b", "50.0%, a")


def test_hard_decisions_of_one_softmax_have_no_order():
    """At most one class has a half or more."""
    draws = np.random.default_rng(0)
    shares = draws.dirichlet(np.full(5, 0.5), 80)
    rest = shares[:, [0, 4]] / shares[:, [0, 4]].sum(1, keepdims=True)
    each = StageScores((1, 3, 2), shares[:, [1, 3, 2]], rest, np.arange(80) % 5, NAMES)
    orders = accuracy_of_orders({"flat": [each]})
    assert orders["hard"].nunique() == 1
    assert orders["soft"].nunique() > 1
    _, hard = order_spread(orders).to_dict("records")
    assert (hard["its place"], hard["best"], hard["worst"]) == ("all alike", "", "")


def test_rates_of_the_stages_are_counted():
    table = stage_table(SCORES["cascade"])
    for place, (c, later) in enumerate([(1, (3, 2, 0, 4)), (3, (2, 0, 4)), (2, (0, 4))]):
        recalls, alarms = [], []
        for each in SCORES["cascade"]:
            yes = each.stages[:, place] >= 0.5
            recalls.append(yes[each.targets == c].mean())
            alarms.append(np.concatenate([yes[each.targets == k] for k in later]).mean())
        row = table.iloc[place]
        assert row["stage"] == NAMES[c]
        assert row["recall"] == f"{np.mean(recalls):.1%}"
        assert row["false alarms"] == f"{np.mean(alarms):.1%}"
    assert table.iloc[3]["stage"] == "or else angry, fear"


def test_independent_errors_are_told_from_joint_ones():
    """Both stages err on the same faces of the last class: fewer mistakes than independent ones make."""
    targets = np.array([0, 1, 2, 2, 2, 2, 3, 3])
    stages = np.zeros((8, 2))
    stages[0, 0] = stages[1, 1] = 1
    stages[[2, 3]] = 1  # half of class 2, by both
    rest = np.where(targets[:, None] == 3, [0.1, 0.9], [0.9, 0.1])
    each = StageScores((0, 1), stages, rest, targets, NAMES[:4])
    (row,) = independence_table({"cascade": [each]}).to_dict("records")
    assert row["measured"] == f"{100 * 6 / 8:.1f}"
    assert row["if independent"] == f"{100 * (1 + 1 + 4 * 0.5 * 0.5 + 2) / 8:.1f}"
    assert row["difference"] == "+12.5"


def test_budget_lines_start_where_nobody_is_taken_wrongly():
    counts = {"a": 10, "b": 30, "c": 60}
    lines = budget_lines(counts, ["b"], [0.8, 0.9], 0.5)
    first = lines[lines["false_alarms"] == 0].set_index("recall")["accuracy"]
    assert first.loc[0.8] == pytest.approx((30 * 0.8 + 70 * 0.5) / 100)
    assert first.loc[0.9] == pytest.approx((30 * 0.9 + 70 * 0.5) / 100)
    for _, rows in lines.groupby("recall"):
        assert rows["accuracy"].is_monotonic_decreasing
