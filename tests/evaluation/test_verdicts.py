"""The rules, one by one, and what they let through: planted effects, planted fakes, and no effect at all."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import CLAIM, CLAIMS, PLACE, evidence_of, published, shorter_of
from paired_classifiers import draw_hits, true_accuracies

from fer_repro.evaluation.ledger import judge
from fer_repro.evaluation.verdicts import DECIDED, RULES, Case, decide, size_agrees
from fer_repro.figures import ledger_tables

DOCS = Path(__file__).parents[2] / "docs" / "verdicts.md"
NAN = float("nan")
EVEN = {"shorter_difference": 2.0, "moved": 0.0, "rise": 0.0}  # half the epochs have shown the same


def case(difference=2.0, p=0.001, half=1.0, **changes):
    """A comparison of a published difference of 2 +- 0.5 points, as published but for ``changes``."""
    numbers = {
        "kind": "difference", "published": 2.0, "tolerance": 0.5, "as_published": True, "seeds": 3,
        "difference": difference, "low": difference - half, "high": difference + half, "reference": 0.0,
        "p": p, "p_half": NAN, "equal_within": NAN, "at_chance": False, "shorter_difference": NAN,
        "moved": NAN, "rise": NAN, "level": 0.05, **changes,
    }  # fmt: skip
    return Case(**numbers)


def small(difference=2.0, p=0.001, half=1.0, **changes):
    """The same with a small recipe, whose runs with half the epochs have shown the same."""
    shorter = {**EVEN, "shorter_difference": difference}
    return case(difference, p, half, **{"as_published": False, **shorter, **changes})


def value(difference, half=1.0, **changes):
    return case(difference, NAN, half, kind="absolute", **{"published": 70.0, **changes})


def test_the_document_has_the_rules_word_for_word():
    current = DOCS.read_text().partition("## Version 1")[0]
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| (.+) \|$", current, re.MULTILINE)
    assert {int(number): (verdict, when) for number, verdict, when in rows} == RULES


MARGIN = {"kind": "non_inferiority", "reference": -1.0, "published": NAN}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (case(NAN, NAN, seeds=0), 1),
        (value(0.0, as_published=False), 2),
        (case(seeds=2), 3),
        (case(at_chance=True), 4),
        (small(at_chance=True), 5),
        (case(as_published=False), 6),
        (small(moved=1.1), 7),
        (small(moved=-1.1), 7),
        (small(rise=3.1), 7),
        (small(shorter_difference=-0.1), 7),  # certain, but with half the epochs on the other side
        (small(0.2, p=0.4, half=0.5, shorter_difference=-0.1), 15),  # nothing certain to contradict
        (case(rise=9.0, moved=9.0), 10),  # as published is long enough
        (case(-2.0), 8),
        (case(-2.0, **MARGIN), 8),
        (small(-2.0), 9),
        (case(2.1), 10),
        (small(2.1), 11),
        (case(2.1, published=NAN), 11),
        (case(9.0), 11),  # certainly better, by far more than published
        (case(0.8, half=0.3), 11),  # certainly better, by less than half of it
        (case(-0.2, half=0.5, **MARGIN), 11),
        (small(0.8, half=0.1, p_half=0.001), 11),  # the sign first
        (case(0.2, p=0.4, half=0.5, p_half=0.01), 12),
        (small(0.2, p=0.4, half=0.5, p_half=0.01), 13),
        (small(0.2, p=0.4, half=0.5, equal_within=1.0), 14),
        (small(-0.2, p=0.4, half=0.5, equal_within=1.0), 14),
        (small(0.2, p=0.4, half=0.9, equal_within=1.0), 15),
        (case(0.2, p=0.4, half=0.5, p_half=0.06), 15),
        (case(0.2, p=0.4, half=0.5), 15),
        (case(2.0, p=0.06, half=2.5), 15),
        (case(-0.6, p=0.4, half=0.5, **MARGIN), 15),
        (value(0.2, half=1.4), 16),
        (value(0.2, half=1.6), 19),  # too wide for a tolerance of 0.5
        (value(1.5), 17),
        (value(-1.5), 18),
        (value(-0.7), 19),
        (value(0.3, half=0.1), 19),  # certain to differ, by less than the tolerance
        # on the border
        (case(0.0, half=0.5), 8),
        (case(2.0, p=0.05, half=2.5), 15),
        (small(moved=1.0), 11),
        (small(rise=3.0), 11),
        (small(0.0, p=1.0, half=1.0, equal_within=1.0), 15),
        (case(0.2, p=0.4, p_half=0.05), 15),
        (value(0.5, half=0.5), 16),
        (value(-0.5, half=0.5), 16),
        (value(0.0, half=1.5), 16),
        (value(0.5, half=0.25), 19),
        (value(-0.5, half=0.25), 19),
        (value(1.0), 19),
        (value(-1.0), 19),
        (value(0.2, published=NAN), 19),
    ],
)
def test_each_rule_decides_its_case(given, rule):
    assert decide(given) == rule


def test_every_rule_is_tested():
    marks = test_each_rule_decides_its_case.pytestmark[0].args[1]
    assert {rule for _, rule in marks} == set(RULES)


def test_only_published_setups_contradict_a_paper():
    reduced = [
        decide(small(difference, p, at_chance=chance))
        for difference in (-9, 0, 9)
        for p in (0, 1)
        for chance in (False, True)
    ]
    assert "not reproduced" not in {RULES[rule][0] for rule in reduced}
    assert {name for name, _ in RULES.values()} >= set(DECIDED)


def test_the_report_knows_every_verdict():
    assert set(ledger_tables.VERDICTS) == {name for name, _ in RULES.values()}
    assert set(ledger_tables.DECIDED) == set(DECIDED)


def test_what_counts_as_the_same_size():
    assert size_agrees(case(2.4, half=0.1))  # within the tolerance, though certain to differ
    assert size_agrees(case(3.9, half=2.0))
    assert not size_agrees(case(4.1, half=3.0))  # inside the interval, but twice as large
    assert not size_agrees(case(1.4, half=0.5))  # not in the interval
    assert size_agrees(case(2.5, half=0.1))
    assert size_agrees(case(1.0, half=3.0))  # half and twice as large still agree
    assert size_agrees(case(4.0, half=3.0))
    assert size_agrees(case(3.0, half=1.0))  # at either end of the interval
    assert size_agrees(case(1.25, half=0.75))
    assert size_agrees(case(1.0, half=0.1, published=1.0))
    assert not size_agrees(case(0.1, half=0.5, published=0.0))
    assert not size_agrees(case(0.1, half=0.5, published=-0.02))


# Whole ledgers

SPREADS = (0.1, 0.3, 0.5)
SKILLS = (1.0, 0.6)


LEDGERS = [100, pytest.param(500, marks=pytest.mark.slow)]  # simulated


def seldom(count):
    """The largest share of ``count`` that errors of 2.5 of 100 leave plausible."""
    return 0.025 + 2 * np.sqrt(0.025 * 0.975 / count)


def judged(hits, targets=None, size=None, error=0.01, **changes):
    """The only row of the ledger for arms ``masked`` and ``no_mask``, as published but for ``changes``."""
    true = 100 * np.subtract(*true_accuracies(*SPREADS, skill=SKILLS))
    where = published(size or true)
    where = replace(where, size=replace(where.size, error=error))
    claims = replace(CLAIMS, claims=(replace(CLAIM, where=(where,)),))
    found = evidence_of(dict(zip(("masked", "no_mask"), hits, strict=True)), targets, **changes)
    return judge(claims, [found], 0.95, [shorter_of(found)]).iloc[-1]


@pytest.mark.parametrize("count", LEDGERS)
def test_a_planted_effect_is_reproduced_as_often_as_its_power_says(count):
    generator, verdicts, powers = np.random.default_rng(0), [], []
    for _ in range(count):
        row = judged(draw_hits(generator, 5, 1200, *SPREADS, skill=SKILLS))
        verdicts.append(row["verdict"])
        powers.append(row["power"])
    found = np.mean([name in ("reproduced", "direction reproduced") for name in verdicts])
    assert found == pytest.approx(np.mean(powers), abs=0.08)
    assert verdicts.count("reproduced") > 0.9 * count * found
    assert "not reproduced" not in verdicts


@pytest.mark.parametrize("count", LEDGERS)
def test_without_an_effect_few_claims_pass(count):
    """At most 2.5 of 100; and with enough samples the absence of the effect is found."""
    generator, passed, refuted = np.random.default_rng(1), 0, 0
    for _ in range(count):
        row = judged(draw_hits(generator, 3, 400, *SPREADS, skill=(0.8, 0.8)), size=8.0)
        passed += row["verdict"] in ("reproduced", "direction reproduced")
        refuted += row["verdict"] == "not reproduced"
    assert passed / count <= seldom(count)
    assert refuted / count > 0.05


@pytest.mark.parametrize("count", LEDGERS)
def test_half_of_the_difference_is_seldom_called_less(count):
    """At most 2.5 of 100, where the published difference is uncertain too; its absence is found."""
    generator, smaller, none = np.random.default_rng(5), 0, 0
    true = 100 * np.subtract(*true_accuracies(*SPREADS, skill=SKILLS))
    for _ in range(count):
        size = max(2 * true + generator.normal(0, 4.0), 0.1)  # ours is half of the paper's true difference
        row = judged(draw_hits(generator, 3, 400, *SPREADS, skill=SKILLS), size=size, error=4.0)
        smaller += row["p_half"] < 0.025
        row = judged(draw_hits(generator, 3, 400, *SPREADS, skill=(0.8, 0.8)), size=2 * true, error=1.0)
        none += row["p_half"] < 0.025
    assert smaller / count <= seldom(count)
    assert none / count > 0.2


@pytest.mark.parametrize("count", LEDGERS)
def test_differences_that_matter_are_seldom_called_none(count):
    """A true difference of just the limit, 2 points: at most 2.5 of 100; equal arms are called equal."""
    generator, calls = np.random.default_rng(6), {0.0: 0, 0.02: 0}
    for gain in calls:
        for _ in range(count):
            hits = draw_hits(generator, 5, 6000, 0.02, 0.3, 0.2, skill=(0.8, 0.8))
            hits[0] |= generator.random(hits[0].shape) < gain / (1 - hits[0].mean())
            row = judged(hits, size=4.0, dataset="synthetic")
            calls[gain] += row["verdict"] == "no difference here"
    assert calls[0.0] / count > 0.5
    assert calls[0.02] / count <= seldom(count)


def test_swapped_arms_are_not_reproduced():
    hits = draw_hits(np.random.default_rng(2), 5, 3000, 0.05, 0.3, 0.5, skill=(1.2, 0.6))
    honest, swapped = judged(hits), judged(hits[::-1])
    assert honest["verdict"] in ("reproduced", "direction reproduced")
    assert swapped["verdict"] == "not reproduced"
    assert swapped["rule"] == 8
    assert swapped["difference"] == pytest.approx(-honest["difference"])


def test_shuffled_labels_are_at_chance():
    generator = np.random.default_rng(3)
    targets = generator.integers(0, 7, 2000)
    wrong = (targets + generator.integers(1, 7, (2, 3, 2000))) % 7
    rates = np.array([0.8, 0.7])[:, None, None]
    answers = np.where(generator.random((2, 3, 2000)) < rates, targets, wrong)
    honest = judged(answers == targets, targets, size=10.0)
    shuffled = judged(answers == generator.permutation(targets), targets, size=10.0)
    assert honest["rule"] == 10
    assert shuffled["rule"] == 4
    assert shuffled["verdict"] == "not reproduced"
    assert "chance" in shuffled["line"]


def test_one_seed_is_inconclusive_however_large_the_difference():
    hits = draw_hits(np.random.default_rng(4), 1, 2000, *SPREADS, skill=(2.0, 0.0))
    row = judged(hits)
    assert row["rule"] == 3
    assert row["more_seeds"] == 2  # three are the least
    assert PLACE.dataset == "fer2013"
