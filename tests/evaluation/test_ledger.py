from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judged import CLAIM, CLAIMS, DRAWN, PAPER, PLACE, RECIPE, evidence_of, published, shorter_of
from paired_classifiers import draw_hits
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fer_repro.evaluation.claims import Conditions, read_claims
from fer_repro.evaluation.comparisons import against_best, against_value, departures, pretraining_class
from fer_repro.evaluation.decisions import decide_rows
from fer_repro.evaluation.ledger import COLUMNS, judge, write_ledger
from fer_repro.measures.intervals import mean_shares
from fer_repro.measures.power import more_seeds
from fer_repro.measures.variance_components import half_width, spread
from fer_repro.methods.method import method_names

PUBLISHED = Path(__file__).parents[2] / "results/published" / "claims.yaml"
SMALL = {**RECIPE, "model.width": 8, "image_size": 64, "epochs": 6}


def two_arms(gain=0.05, seeds=3, samples=2000, seed=0):
    """Hits of ``masked`` and ``no_mask`` that differ by about ``gain``, a little by seed."""
    generator = np.random.default_rng(seed)
    control = generator.random((seeds, samples)) < 0.6
    rates = (gain + 0.005 * np.arange(-(seeds // 2), seeds - seeds // 2)) / 0.4
    return {"masked": control | (generator.random((seeds, samples)) < rates[:, None]), "no_mask": control}


def claims_with(**changes):
    return replace(CLAIMS, claims=(replace(CLAIM, **changes),))


def test_a_row_holds_what_was_measured():
    arms = two_arms()
    ledger = judge(claims_with(where=(published(5.0),)), [evidence_of(arms)], 0.95)
    assert list(ledger) == list(COLUMNS)
    (row,) = ledger.to_dict("records")
    difference = 100 * (arms["masked"].mean() - arms["no_mask"].mean())
    assert row["difference"] == pytest.approx(difference)
    assert row["measured"] == pytest.approx(100 * arms["masked"].mean())
    assert row["low"] < difference < row["high"]
    assert (row["verdict"], row["seeds"], row["groups"], row["as_published"]) == ("reproduced", 3, 2000, True)
    assert row["condition"] == "FER2013, as published"
    assert (
        row["line"]
        == "reproduced on FER2013, as published: the sign is certain and the size agrees, as published"
    )
    assert row["p"] == row["p_holm"] < 0.05
    assert pd.isna(row["more_seeds"])
    assert 0 < row["detectable"] < 5
    assert 0.9 < row["power"] <= 1


def test_a_row_says_what_is_claimed_and_where():
    two = replace(CLAIM, against=("no_mask", "sigmoid_mask"), where=(published(5.0),))
    found = evidence_of(two_arms())
    (row,) = judge(replace(CLAIMS, claims=(two,)), [found], 0.9, [shorter_of(found)]).to_dict("records")
    said = {
        "claim": "masks", "method": "rmn", "kind": "difference", "statement": "Masks help.", "arm": "masked",
        "against": "no_mask | sigmoid_mask", "dataset": "fer2013", "data": "FER2013", "protocol": "official",
        "metric": "accuracy", "augmented": False, "unit": "points", "published": 5.0, "tolerance": 0.5,
        "published_source": "a table", "confidence": 0.9, "access": "free: Kaggle", "note": "a note",
        "reason": "the sign is certain",
    }  # fmt: skip
    assert {key: row[key] for key in said} == said
    ledger = judge(claims_with(where=(published(5.0),)), [], 0.95)
    assert {
        name: str(ledger[name].dtype) for name in ("seeds", "groups", "more_seeds", "rule")
    } == dict.fromkeys(("seeds", "groups", "more_seeds", "rule"), "Int64")


def test_units_are_those_of_the_metric_and_the_kind_of_claim():
    loss = replace(PLACE, metric="frame_log_loss")
    for place, kind, unit in (
        (loss, "difference", "nats"),
        (loss, "absolute", "nats"),
        (PLACE, "absolute", "%"),
    ):
        claims = claims_with(kind=kind, against=("no_mask",), where=(published(0.3, unit=unit, place=place),))
        assert judge(claims, [], 0.95)["unit"].tolist() == [unit]


def test_other_data_and_a_small_recipe_are_named_and_cap_the_verdict():
    found = evidence_of(two_arms(), dataset="synthetic", pretraining="none", recipe=SMALL)
    ledger = judge(claims_with(where=(published(5.0),)), [found], 0.95, [shorter_of(found)])
    paper, drawn = ledger.to_dict("records")
    assert paper["verdict"] == "not attempted"
    assert paper["line"] == "not attempted on FER2013: free: Kaggle"
    condition = "synthetic faces, width 1/8, 64 px, 6 epochs, no pretraining"
    assert drawn["line"] == f"direction reproduced on {condition}: the sign is certain"
    assert np.isnan(drawn["published"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ()),
        ({"recipe": {**RECIPE, "image_size": 256}}, ()),  # more is not less
        ({"recipe": {**RECIPE, "epochs": 3}}, ("3 epochs",)),
        ({"recipe": {**RECIPE, "max_train": 500}}, ("at most 500 training samples",)),
        ({"recipe": {**RECIPE, "smoke": True}}, ("a smoke run",)),
        ({"pretraining": "faces (MS-Celeb-1M)"}, ("pretraining faces instead of imagenet",)),
        ({"augmented": True}, ("with test-time augmentation",)),
    ],
)
def test_each_departure_is_named(changes, said):
    found = evidence_of(two_arms(samples=50), **changes)
    assert departures(CLAIMS, CLAIM, PLACE, found) == said


def test_missing_rivals_and_protocols_are_departures():
    claim = replace(CLAIM, against=("no_mask", "sigmoid_mask"))
    assert departures(CLAIMS, claim, PLACE, evidence_of(two_arms(samples=50))) == ("without sigmoid_mask",)
    hard = replace(PLACE, protocol="occlusion")
    assert (
        departures(CLAIMS, CLAIM, hard, evidence_of(two_arms(samples=50)))[0]
        == "FER2013 by protocol occlusion"
    )
    assert pretraining_class("imagenet and faces") == "imagenet"
    assert pretraining_class("") == "unknown"


def test_the_best_rival_is_the_one_to_beat():
    arms = {**two_arms(0.08), "other": two_arms(0.06)["masked"]}
    found = evidence_of(arms)
    both = against_best(found, "masked", ("no_mask", "other"), 0.0, 0.95)
    each = [against_best(found, "masked", (rival,), 0.0, 0.95) for rival in ("no_mask", "other")]
    assert both.value == min(one.value for one in each)
    assert both.low == min(one.low for one in each)
    assert both.p == max(one.p for one in each)
    wider = [one.value + half_width(one.spread, 0.975) for one in each]
    assert both.high == pytest.approx(min(wider))
    losing = against_best(found, "no_mask", ("masked", "other"), 0.0, 0.95)
    alone = [against_best(found, "no_mask", (rival,), 0.0, 0.95).p for rival in ("masked", "other")]
    assert losing.p == pytest.approx(2 * min(alone))
    assert losing.high < 0


def test_the_best_of_equal_rivals_is_seldom_beaten_by_chance():
    """Three equal arms: the claim that one beats the best of the others, and the claim that it loses."""
    generator, beats, loses = np.random.default_rng(1), 0, 0
    for _ in range(400):
        hits = np.concatenate([draw_hits(generator, 3, 200, 0.1, 0.3, 0.5, (0.8, 0.8)) for _ in range(2)])[:3]
        found = against_best(evidence_of(dict(zip("abc", hits, strict=True))), "a", ("b", "c"), 0.0, 0.95)
        beats += found.p < 0.05 and found.is_above
        loses += found.p < 0.05 and not found.is_above
    assert beats / 400 <= 0.025
    assert loses / 400 <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / 400)


def test_no_worse_is_measured_from_the_margin():
    arms = two_arms(0.0)
    claim = {"kind": "non_inferiority", "margin": 2.0, "where": (replace(published(1.0), size=None),)}
    (row,) = judge(claims_with(**claim), [evidence_of(arms)], 0.95).to_dict("records")
    assert row["low"] > -2
    assert row["verdict"] == "direction reproduced"  # the size is not verified
    worse = two_arms(0.05)
    swapped = {"masked": worse["no_mask"], "no_mask": worse["masked"]}
    (row,) = judge(claims_with(**claim), [evidence_of(swapped)], 0.95).to_dict("records")
    assert (row["verdict"], row["rule"]) == ("not reproduced", 8)


def test_a_value_to_reach():
    arms = two_arms()
    true = 100 * arms["masked"].mean()
    for target, verdict in (
        (true + 0.3, "reproduced"),
        (true + 9, "not reproduced"),
        (true - 9, "direction reproduced"),
    ):
        claim = {"kind": "absolute", "against": (), "where": (published(target, 1.5, "%"),), "stand_ins": ()}
        (row,) = judge(claims_with(**claim), [evidence_of(arms)], 0.95).to_dict("records")
        assert row["verdict"] == verdict
        assert row["difference"] == pytest.approx(true - target)
        assert np.isnan(row["p_holm"])
        small = evidence_of(arms, recipe=SMALL)
        (row,) = judge(claims_with(**claim), [small], 0.95).to_dict("records")
        assert row["verdict"] == "not attempted"
        assert row["measured"] == pytest.approx(true)


def test_a_value_is_missed_or_reached_by_the_spread_of_seeds_and_samples():
    """Where all samples of a seed answer alike, Student's interval over seeds is left."""
    found = against_value(evidence_of({"masked": np.tile([[1], [0], [1], [1]], 80)}), "masked", 60.0, 0.95)
    oracle = stats.ttest_1samp([100, 0, 100, 100], 60).confidence_interval(0.95)
    assert found.value == pytest.approx(15)
    assert (found.low, found.high) == pytest.approx((oracle.low - 60, oracle.high - 60))
    loss = evidence_of({"plain": np.zeros((3, 60))}, np.arange(60) > 20, metric="frame_log_loss")
    assert against_value(loss, "plain", 1.0, 0.95).value == pytest.approx(1 - np.log(2))  # lower is better


def test_claims_of_one_method_on_one_data_set_are_corrected_together():
    names = ("a", "b", "c")
    arms = {
        name: two_arms(gain, samples=900, seed=4)["masked"]
        for name, gain in zip(names, (0.03, 0.025, 0.02), strict=True)
    }
    arms["no_mask"] = two_arms(samples=900, seed=4)["no_mask"]
    several = tuple(replace(CLAIM, id=name, arm=name) for name in names)
    ledger = judge(replace(CLAIMS, claims=several), [evidence_of(arms)], 0.95)
    assert ledger["p_holm"].to_numpy() == pytest.approx(multipletests(ledger["p"], method="holm")[1])
    assert (ledger["p_holm"] > ledger["p"]).any()


def test_an_inconclusive_row_says_how_many_seeds_lack():
    arms = two_arms(0.01, samples=4000)
    noisy = {**arms, "masked": arms["masked"].copy()}
    noisy["masked"][0] = two_arms(0.1, samples=4000, seed=0)["masked"][0]
    (row,) = judge(claims_with(where=(published(3.0),)), [evidence_of(noisy)], 0.95).to_dict("records")
    assert row["verdict"] == "inconclusive"
    assert row["more_seeds"] > 0
    assert f"{row['more_seeds']} more seeds would decide" in row["line"]


def test_a_hundred_seeds_are_no_advice():
    control = np.arange(60_000).reshape(3, -1) % 2 == 0
    masked = control.copy()
    masked[0, 1:4000:2] = True  # one seed gains 10 points, another loses 6
    masked[1, 4000:6400:2] = False
    evidence = evidence_of({"masked": masked, "no_mask": control})
    (row,) = judge(claims_with(where=(published(3.0),)), [evidence], 0.95).to_dict("records")
    assert row["more_seeds"] > 30
    assert "cannot be decided with these data, more than 30 more seeds would be needed" in row["line"]


def uneven(points):
    """Three seeds of 40,000 faces; the arm gains 1 point on the control, one seed less and one more."""
    control = np.arange(120_000).reshape(3, -1) % 2 == 0
    masked = control.copy()
    for seed, gain in enumerate((1 - points, 1, 1 + points)):
        masked[seed, int(gain < 0) : int(800 * abs(gain)) : 2] = gain > 0
        masked[seed, int(gain > 0) : int(800 * abs(gain)) : 2] = gain > 0
    return evidence_of({"masked": masked, "no_mask": control})


def test_missing_seeds_are_those_until_the_interval_leaves_the_rival():
    found = uneven(2)
    gap = mean_shares(found.arms["masked"].astype(float) - found.arms["no_mask"])
    several = tuple(replace(CLAIM, id=name, where=(published(3.0),)) for name in ("one", "two"))
    for claims, level in ((several[:1], 0.95), (several, 0.975)):  # of two claims each has half the level
        row = judge(replace(CLAIMS, claims=claims), [found], 0.95).to_dict("records")[0]
        expected = more_seeds(spread(*gap), gap[0].mean(), level)
        assert row["verdict"] == "inconclusive"
        assert row["more_seeds"] == expected > 1
        assert row["line"].endswith(f"{expected} more seeds would decide if the mean does not change")


@pytest.mark.parametrize(("value", "distance"), [(46.0, 5.0), (51.0, 3 * 0.5), (50.5, 3 * 0.5)])
def test_missing_seeds_of_a_value_are_those_until_it_is_left_out_or_narrowed_down(value, distance):
    """A value within the tolerance of 0.5 points is reached once the interval is three of them wide."""
    found = uneven(3)
    claims = claims_with(kind="absolute", against=(), where=(published(value, unit="%"),))
    (row,) = judge(claims, [found], 0.95).to_dict("records")
    assert row["verdict"] == "inconclusive"
    expected = more_seeds(spread(*mean_shares(found.arms["masked"])), distance / 100, 0.95)
    assert row["more_seeds"] == expected > 0


def test_one_seed_and_no_number_of_seeds_are_worded():
    (row,) = judge(claims_with(where=(published(3.0),)), [uneven(0.55)], 0.95).to_dict("records")
    expected = ": the sign is not certain; 1 more seed would decide if the mean does not change"
    assert row["line"].endswith(expected)
    few = {arm: np.delete(hits, np.s_[20:-600], axis=1) for arm, hits in uneven(2).arms.items()}
    (row,) = judge(claims_with(where=(published(3.0),)), [evidence_of(few)], 0.95).to_dict("records")
    assert pd.isna(row["more_seeds"])
    assert row["line"].endswith("; no number of seeds is enough, more test samples are needed")


def test_a_recipe_may_hold_keys_without_words_of_their_own():
    wanted = {"rmn": replace(CLAIMS.conditions["rmn"], recipe={**PAPER, "momentum": 0.9})}
    found = evidence_of(two_arms(samples=50), recipe={**RECIPE, "momentum": 0.5})
    assert departures(replace(CLAIMS, conditions=wanted), CLAIM, PLACE, found) == ("momentum 0.5",)


def test_what_claims_do_not_state_is_the_papers_recipe():
    paper = {**PAPER, "model.pretraining": "imagenet", "ema": 0.9}
    claims = replace(CLAIMS, conditions={})
    found = evidence_of(two_arms(samples=50), recipe={**PAPER, "image_size": 64, "model.width": 8})
    assert departures(claims, CLAIM, PLACE, replace(found, paper=paper)) == ("width 1/8", "64 px")
    stated = replace(claims, conditions={"rmn": Conditions(pretraining="faces", recipe={"epochs": 60})})
    said = departures(stated, CLAIM, PLACE, replace(found, paper=paper))
    assert said[2:] == ("50 epochs", "pretraining imagenet instead of faces")
    assert departures(claims, CLAIM, PLACE, found) == ("the paper's recipe is not known",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 96}, ("batch 96",)),  # neither more nor less
        ({"optimiser.lr": 9.0}, ("rate 9",)),
        ({"optimiser.name": "sgd", "optimiser.lr": 0.1}, ("SGD",)),  # whose rate compares with nothing
        ({"select_on": "test"}, ("epoch chosen on test",)),
    ],
)
def test_training_is_as_published_in_every_known_number(changes, said):
    stated = Conditions(pretraining="imagenet", recipe={**PAPER, "select_on": "val"})
    found = evidence_of(two_arms(samples=50), recipe={**RECIPE, "select_on": "val", **changes})
    assert departures(replace(CLAIMS, conditions={"rmn": stated}), CLAIM, PLACE, found) == said


def test_one_unknown_number_is_not_as_published():
    for name in ("epochs", "batch_size", "optimiser.name", "optimiser.lr"):
        known = {key: value for key, value in PAPER.items() if key != name}
        stated = replace(CLAIMS, conditions={"rmn": Conditions(pretraining="imagenet", recipe=known)})
        said = departures(stated, CLAIM, PLACE, evidence_of(two_arms(samples=50)))
        assert said == ("the paper's recipe is not known",)


def small_row(gain, size=5.0, error=None, control=None, shorter=True, place=PLACE, **changes):
    """The row of a small recipe on the paper's own data, or on other data."""
    where = published(size)
    claims = claims_with(where=(replace(where, size=replace(where.size, error=error)),))
    words = {**CLAIMS.data_sets, "fer2013": replace(CLAIMS.data_sets["fer2013"], control=control)}
    found = evidence_of(two_arms(gain, samples=4000), recipe=SMALL, dataset=place.dataset)
    record = [shorter_of(found, **changes)] if shorter else []
    return judge(replace(claims, data_sets=words), [found], 0.95, record).iloc[-1]


def test_small_recipes_are_judged_by_two_lengths():
    assert small_row(0.05)["verdict"] == "direction reproduced"
    assert small_row(0.05, shorter=False)["line"].endswith(
        "no run with half the epochs to compare with: 3 instead of 6"
    )
    assert small_row(0.05, seeds=(0, 1))["verdict"] == "one budget only"  # headline and control need three
    learning = small_row(0.05, rise=3.5)
    assert learning["verdict"] == "still learning"
    assert (
        "from 3 to 6 the difference moved by +0.00 points, and the validation of an arm by +3.5 points"
        in learning["line"]
    )
    # arms that are fitted at once have no epochs of their own
    said = decide_rows(pd.DataFrame([learning]).assign(epochs=np.nan))["line"].iloc[0]
    assert "half the epochs and all: the difference moved by +0.00 points" in said
    moving = small_row(0.05, changes={"no_mask": 4.0})
    assert (moving["verdict"], moving["moved"]) == ("still learning", pytest.approx(4.0))
    assert moving["shorter_difference"] == pytest.approx(moving["difference"] - 4.0)
    assert small_row(0.0)["verdict"] == "inconclusive"


def test_a_record_of_another_recipe_is_no_shorter_run():
    found = evidence_of(two_arms(), recipe=SMALL)
    for change in ({"epochs": 2}, {"image_size": 48}):
        record = shorter_of(found)
        record = replace(record, recipe={**record.recipe, **change})
        (row,) = judge(claims_with(where=(published(5.0),)), [found], 0.95, [record]).to_dict("records")
        assert row["verdict"] == "one budget only"


def test_less_than_half_is_said_where_the_control_is_good():
    weak, strong = (small_row(0.002, size=20.0, error=1.0, control=control) for control in (65.0, 55.0))
    assert weak["verdict"] == "inconclusive"
    assert np.isnan(weak["p_half"])
    assert (strong["verdict"], strong["rule"]) == ("smaller at this budget", 13)
    certain = small_row(0.05, size=20.0, error=1.0, control=55.0)
    assert certain["verdict"] == "direction reproduced"
    assert certain["line"].endswith("but the difference is less than half of the published one")
    assert np.isnan(small_row(0.002, size=20.0, control=55.0)["p_half"])  # its error is not known


def test_no_difference_is_named_with_its_limit():
    row = small_row(0.002, size=3.0, place=DRAWN)
    assert (row["verdict"], row["equal_within"]) == ("no difference here", 1.5)
    assert row["line"].endswith("no difference beyond 1.5 points here; on other data than the paper's")
    assert small_row(0.002, size=8.0, place=DRAWN)["equal_within"] == 2.0
    assert np.isnan(small_row(0.002, size=8.0)["equal_within"])


def test_what_only_holms_correction_leaves_open_is_named():
    gains = (0.0095, 0.001, 0.001)
    arms = {name: two_arms(gain, samples=3000)["masked"] for name, gain in zip("abc", gains, strict=True)}
    arms["no_mask"] = two_arms(samples=3000)["no_mask"]
    several = tuple(replace(CLAIM, id=name, arm=name, where=(published(90.0),)) for name in "abc")
    rows = judge(replace(CLAIMS, claims=several), [evidence_of(arms)], 0.95)
    first = rows.iloc[0]
    assert first["p"] < 0.05 <= first["p_holm"]
    assert "the interval excludes 0, but not after Holm's correction for 3 tests" in first["line"]


def test_words_of_a_recipe_must_be_the_same():
    for word, said in (("sgd", ()), ("adam", ("optimizer adam",)), (None, ("optimizer None",))):
        wanted = {"rmn": replace(CLAIMS.conditions["rmn"], recipe={**PAPER, "optimizer": "sgd"})}
        recipe = {**RECIPE, **({} if word is None else {"optimizer": word})}
        found = evidence_of(two_arms(samples=50), recipe=recipe)
        assert departures(replace(CLAIMS, conditions=wanted), CLAIM, PLACE, found) == said


def test_power_needs_a_published_difference():
    unknown = replace(published(1.0), size=None, unverified="not in the paper")
    for where, has_power in ((published(5.0), True), (published(0.0), False), (unknown, False)):
        (row,) = judge(claims_with(where=(where,)), [evidence_of(two_arms())], 0.95).to_dict("records")
        assert np.isfinite(row["power"]) == has_power
        assert row["detectable"] > 0
    assert row["published_source"] == "not in the paper"
    assert np.isnan([row["published"], row["tolerance"]]).all()
    claims = claims_with(kind="absolute", against=(), where=(published(60.0, unit="%"),))
    (row,) = judge(claims, [evidence_of(two_arms())], 0.95).to_dict("records")
    assert np.isnan([row["power"], row["detectable"], row["p"]]).all()


def test_a_value_keeps_its_distance_in_the_spread():
    found = against_value(evidence_of(two_arms()), "masked", 60.0, 0.95)
    assert found.spread.value == found.value
    assert found.reference == 0


def test_thirty_seeds_are_still_advice():
    (row,) = judge(claims_with(where=(published(3.0),)), [uneven(2.775)], 0.95).to_dict("records")
    assert row["line"].endswith("; 30 more seeds would decide if the mean does not change")
    assert row["reason"] == "the sign is not certain; 30 more seeds would decide if the mean does not change"


def test_augmented_evidence_is_preferred_where_the_paper_augments():
    plain, shown = evidence_of(two_arms()), evidence_of(two_arms(0.07), augmented=True)
    place = replace(PLACE, augmented=True)
    (row,) = judge(claims_with(where=(published(5.0, place=place),)), [plain, shown], 0.95).to_dict("records")
    assert row["augmented"]
    assert row["as_published"]
    short = [shorter_of(plain)]
    (row,) = judge(claims_with(where=(published(5.0, place=place),)), [plain], 0.95, short).to_dict("records")
    assert row["condition"] == "FER2013, without test-time augmentation"
    assert row["verdict"] == "direction reproduced"


def test_without_runs_every_claim_says_how_to_get_its_data(tmp_path):
    claims = read_claims(PUBLISHED)
    ledger = judge(claims, [], 0.95)
    assert len(ledger) == sum(len(claim.where) for claim in claims.claims)
    assert set(ledger["verdict"]) == {"not attempted"}
    assert (ledger["access"] != "").all()
    assert set(ledger["method"]) == {*method_names()}
    first = write_ledger(ledger, tmp_path / "one").read_bytes()
    assert first == write_ledger(judge(claims, [], 0.95), tmp_path / "two").read_bytes()


def test_the_file_reads_back(tmp_path):
    ledger = judge(claims_with(where=(published(5.0),)), [evidence_of(two_arms())], 0.95)
    read = pd.read_csv(write_ledger(ledger, tmp_path))
    assert list(read) == list(COLUMNS)
    ledger["p"] = 1.23456789e-12
    lines = write_ledger(ledger, tmp_path / "tiny").read_bytes().split(b"\n")
    assert b"1.23457e-12" in lines[1]
    assert not any(line.endswith(b"\r") for line in lines)
    assert read["difference"].iloc[0] == pytest.approx(ledger["difference"].iloc[0], rel=1e-5)
    assert DRAWN.dataset == "synthetic"


def test_arms_that_are_fitted_at_once_are_judged_without_epochs():
    """Two forests need no run with half the epochs; a forest beside a network does."""
    claims = read_claims()
    hits = {
        "published_order": np.tile([1, 1, 1, 1, 1, 1, 1, 0], (5, 15)),
        "zigzag_order": np.tile([1, 0], (5, 60)), "nonzero": np.tile([1, 1, 0, 0], (5, 30)),
        "network": np.tile([1, 1, 1, 0], (5, 30)),
    }  # fmt: skip
    evidence = evidence_of(
        hits, np.arange(120) // 60, method="benford", dataset="synthetic_resampled", chance=50.0,
        metric="mean_class_accuracy", pretraining="none",
        recipe={"epochs": 40, "batch_size": 8, "optimiser.lr": 0.01, "max_train": 40},
    )  # fmt: skip
    ledger = judge(claims, [evidence], 0.95)
    rows = ledger[ledger["verdict"] != "not attempted"].set_index("claim")
    order, few = rows.loc["benford-published-order"], rows.loc["benford-few-images"]
    assert order["verdict"] == "direction reproduced"
    assert (order["moved"], order["rise"]) == (0, 0)
    assert pd.isna(order["epochs"])
    said = "resampled synthetic faces, the paper's recipe is not known, at most 40 training samples"
    assert order["condition"] == said
    assert few["verdict"] == "one budget only"
    assert few["epochs"] == 40
    assert "batch" not in order["line"]
