import warnings

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.evaluation.ensembles import ensemble_runs, papers_ensembles
from fer_repro.methods.method import load_method
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import Predictions


def softmax(row):
    return np.exp(row) / np.exp(row).sum()


def run(arm, seed, logits, probabilities=None):
    values = np.array(logits, float)
    shown = np.array([softmax(row) for row in values]) if probabilities is None else np.array(probabilities)
    count = len(values)
    splits, targets = np.full(count, "test"), np.zeros(count, np.int64)
    classes = tuple("abc"[: values.shape[1]])
    return Run(arm, seed, {}, Predictions(classes, np.arange(count), splits, targets, values, shown))


def test_probabilities_are_summed_without_weights():
    one, two = run("x", 0, [[4, 0, 0], [1, 2, 0]]), run("y", 0, [[0, 1, 0.9], [0, 0, 3]])
    (found,) = ensemble_runs([one, two], ["x", "y"], "probabilities")
    assert (found.arm, found.seed) == ("x+y", 0)
    for row in range(2):
        total = softmax(one.predictions.logits[row]) + softmax(two.predictions.logits[row])
        np.testing.assert_allclose(softmax(found.predictions.logits[row]), total / 2)
        assert found.predictions.logits[row].argmax() == total.argmax()


def test_sums_and_means_of_logits_decide_differently():
    # One sure network outvotes two mild ones in logits; its probability cannot exceed 1.
    members = [run("x", 0, [[0, 9]]), run("y", 0, [[2, 0]]), run("z", 0, [[2, 0]])]
    (summed,) = ensemble_runs(members, ["x", "y", "z"], "probabilities")
    (averaged,) = ensemble_runs(members, ["x", "y", "z"], "logits")
    assert summed.predictions.logits.argmax() == 0
    assert averaged.predictions.logits.argmax() == 1
    np.testing.assert_allclose(averaged.predictions.logits, [[4 / 3, 3]])


def test_augmented_probabilities():
    one, two = run("x", 0, [[0, 0]], [[0.9, 0.1]]), run("y", 0, [[0, 0]], [[0.2, 0.8]])
    (summed,) = ensemble_runs([one, two], ["x", "y"], "probabilities")
    np.testing.assert_allclose(summed.predictions.probabilities, [[0.55, 0.45]])
    (averaged,) = ensemble_runs([one, two], ["x", "y"], "logits")
    odds = np.sqrt((0.9 / 0.1) * (0.2 / 0.8))
    np.testing.assert_allclose(averaged.predictions.probabilities, [[odds / (1 + odds), 1 / (1 + odds)]])


def test_seeds_stay_apart():
    runs = [run(arm, seed, [[seed, 0]]) for arm in "xy" for seed in (0, 5)]
    found = ensemble_runs(runs, ["y", "x"], "logits")
    assert [(each.arm, each.seed, each.predictions.logits[0, 0]) for each in found] == [
        ("y+x", 0, 0),
        ("y+x", 5, 5),
    ]


def test_members_that_cannot_be_combined():
    runs = [run("plain", 0, [[0, 1]]), run("plain", 1, [[0, 1]]), run("attention", 0, [[0, 1]])]
    with pytest.raises(UserError, match="no run of arm 'atention'; did you mean 'attention'"):
        ensemble_runs(runs, ["plain", "atention"], "logits")
    with pytest.raises(UserError, match=r"plain\+attention: arm 'attention' has no seed 1"):
        ensemble_runs(runs, ["plain", "attention"], "logits")
    for members in ([], ["plain"], ["plain", "plain"]):
        with pytest.raises(UserError, match="expected two or more different arms"):
            ensemble_runs(runs, members, "logits")


def test_the_papers_own_ensembles():
    arms = ["xception", "attention", "plain", "attention_siamese", "plain_siamese"]
    names = ["+".join(members) for members in papers_ensembles("efficientnet", arms)]
    assert len(names) == 11  # 15 combinations less the four single networks
    assert names[:3] == ["plain+plain_siamese", "plain+attention", "plain+attention_siamese"]
    assert names[-1] == "plain+plain_siamese+attention+attention_siamese"
    assert papers_ensembles("efficientnet", ["attention", "plain", "xception"]) == [("plain", "attention")]
    assert papers_ensembles("rmn", ["masked", "no_mask"]) == [("masked", "no_mask")]
    assert papers_ensembles("rmn", ["masked"]) == papers_ensembles("ran", ["a", "b"]) == []
    rules = [load_method(name).ensemble_rule for name in ("efficientnet", "rmn")]
    assert rules == ["logits", "probabilities"]


@pytest.mark.parametrize("rule", ["probabilities", "logits"])
def test_an_ensemble_keeps_the_samples_and_the_first_members_recipe(rule):
    one, two = run("x", 3, [[4, 0], [1, 2]]), run("y", 3, [[0, 1], [0, 3]])
    one.config["recipe"] = "of x"
    (found,) = ensemble_runs([one, two], ["x", "y"], rule)
    assert found.config == {"recipe": "of x"}
    assert found.predictions.classes == ("a", "b")
    for name in ("samples", "splits", "targets"):
        assert getattr(found.predictions, name).tolist() == getattr(one.predictions, name).tolist()


def test_impossible_answers_stay_finite():
    one, two = run("x", 0, [[0, 2000]], [[0.0, 1.0]]), run("y", 0, [[0, 2000]], [[0.0, 1.0]])
    (summed,) = ensemble_runs([one, two], ["x", "y"], "probabilities")
    assert summed.predictions.logits.tolist() == [[pytest.approx(np.log(1e-300)), 0]]
    (averaged,) = ensemble_runs([one, two], ["x", "y"], "logits")
    assert averaged.predictions.probabilities[0].tolist() == [pytest.approx(1e-300), 1]


def test_logits_that_may_not_be_written_are_averaged_without_a_warning():
    members = [run("x", 0, [[0, 9]]), run("y", 0, [[2, 0]])]
    for member in members:
        member.predictions.logits.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = ensemble_runs(members, ["x", "y"], "logits")
    np.testing.assert_allclose(found.predictions.logits, [[1, 4.5]])
