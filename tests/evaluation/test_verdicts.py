"""The rules, one by one, and what they let through: planted effects, planted fakes, and no effect at all."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import CLAIM, CLAIMS, PLACE, evidence_of, published
from paired_classifiers import draw_hits, true_accuracies

from fer_repro.evaluation.claims import Size
from fer_repro.evaluation.comparisons import Comparison
from fer_repro.evaluation.ledger import judge
from fer_repro.evaluation.verdicts import RULES, Case, decide, size_agrees
from fer_repro.measures.variance_components import Spread

DOCS = Path(__file__).parents[2] / "docs" / "verdicts.md"
SIZE = Size(value=2.0, unit="points", tolerance=0.5, source="a table")
NAN = float("nan")


def measured(value, half=1.0, reference=0.0, seeds=3):
    return Comparison(
        value, value - half, value + half, NAN, reference, Spread(value, seeds, 100, 0.1, 0.1, 0.0)
    )


def case(value, p=0.001, half=1.0, kind="difference", size=SIZE, as_published=True, **rest):
    reference, seeds = rest.pop("reference", 0.0), rest.pop("seeds", 3)
    return Case(
        kind,
        size,
        as_published,
        measured(value, half, reference, seeds),
        p,
        rest.pop("at_chance", False),
        0.05,
    )


def test_the_document_has_the_rules_word_for_word():
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert {int(number): (verdict, when) for number, verdict, when in rows} == RULES


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (Case("difference", SIZE, True, None, NAN, False, 0.05), 1),
        (case(70.0, NAN, kind="absolute", as_published=False), 2),
        (case(2.0, seeds=2), 3),
        (case(2.0, at_chance=True), 4),
        (case(-2.0), 5),
        (case(-2.0, kind="non_inferiority", reference=-1.0, size=None), 5),
        (case(2.1), 6),
        (case(2.1, as_published=False), 7),
        (case(2.1, size=None), 7),
        (case(9.0), 7),  # surely better, by far more than published
        (case(0.8, half=0.3), 7),  # surely better, by less than half of it
        (case(-0.2, kind="non_inferiority", reference=-1.0, half=0.5, size=None), 7),
        (case(0.2, p=0.4, half=0.5), 8),
        (case(0.2, p=0.4, half=0.5, as_published=False), 9),  # other data: the size says nothing there
        (case(0.2, p=0.4, half=0.5, size=None), 9),
        (case(2.0, p=0.06, half=2.5), 9),
        (case(0.2, NAN, kind="absolute", half=1.4), 10),
        (case(0.2, NAN, kind="absolute", half=1.6), 13),  # too wide for a tolerance of 0.5
        (case(1.5, NAN, kind="absolute"), 11),
        (case(-1.5, NAN, kind="absolute"), 12),
        (case(-0.7, NAN, kind="absolute"), 13),
        (case(0.3, NAN, kind="absolute", half=0.1), 13),  # sure to differ, by less than the tolerance
        (case(-0.6, p=0.4, half=0.5, kind="non_inferiority", reference=-1.0), 9),  # no difference is claimed
        # on the border
        (case(0.0, half=0.5), 5),
        (case(2.0, p=0.05, half=2.5), 9),
        (case(0.5, p=0.4, half=0.5), 9),
        (case(0.2, p=0.4, half=0.2, size=replace(SIZE, value=1.0)), 8),
        (case(0.5, NAN, kind="absolute", half=0.5), 10),
        (case(-0.5, NAN, kind="absolute", half=0.5), 10),
        (case(0.0, NAN, kind="absolute", half=1.5), 10),
        (case(0.5, NAN, kind="absolute", half=0.25), 13),
        (case(-0.5, NAN, kind="absolute", half=0.25), 13),
        (case(1.0, NAN, kind="absolute"), 13),
        (case(-1.0, NAN, kind="absolute"), 13),
        (case(0.2, NAN, kind="absolute", size=None), 13),
    ],
)
def test_each_rule_decides_its_case(given, rule):
    assert decide(given) == rule


def test_every_rule_is_tested():
    marks = test_each_rule_decides_its_case.pytestmark[0].args[1]
    assert {rule for _, rule in marks} == set(RULES)


def test_what_counts_as_the_same_size():
    assert size_agrees(measured(2.4, 0.1), SIZE)  # within the tolerance, though sure to differ
    assert size_agrees(measured(3.9, 2.0), SIZE)
    assert not size_agrees(measured(4.1, 3.0), SIZE)  # inside the interval, but twice as large
    assert not size_agrees(measured(1.4, 0.5), SIZE)  # not in the interval
    assert size_agrees(measured(2.5, 0.1), SIZE)
    assert size_agrees(measured(1.0, 3.0), SIZE)  # half and twice as large still agree
    assert size_agrees(measured(4.0, 3.0), SIZE)
    assert size_agrees(measured(3.0, 1.0), SIZE)  # at either end of the interval
    assert size_agrees(measured(1.25, 0.75), SIZE)
    assert size_agrees(measured(1.0, 0.1), replace(SIZE, value=1.0))
    assert not size_agrees(measured(0.1, 0.5), replace(SIZE, value=0.0))
    against = Size(value=-0.02, unit="points", tolerance=0.5, source="its own outputs do not show it")
    assert not size_agrees(measured(0.1, 0.5), against)


# Whole ledgers

SPREADS = (0.1, 0.3, 0.5)
SKILLS = (1.0, 0.6)


def judged(hits, targets=None, size=None, seeds=None):
    """The only row of the ledger for arms ``masked`` and ``no_mask``, as published."""
    true = 100 * np.subtract(*true_accuracies(*SPREADS, skill=SKILLS))
    claims = replace(CLAIMS, claims=(replace(CLAIM, where=(published(size or true),)),))
    ledger = judge(claims, [evidence_of(dict(zip(("masked", "no_mask"), hits, strict=True)), targets)], 0.95)
    return ledger.iloc[0]


def test_a_planted_effect_is_reproduced_as_often_as_its_power_says():
    generator, verdicts, powers = np.random.default_rng(0), [], []
    for _ in range(200):
        row = judged(draw_hits(generator, 5, 1200, *SPREADS, skill=SKILLS))
        verdicts.append(row["verdict"])
        powers.append(row["power"])
    found = np.mean([name in ("reproduced", "direction reproduced") for name in verdicts])
    assert found == pytest.approx(np.mean(powers), abs=0.08)
    assert verdicts.count("reproduced") > 0.9 * 200 * found
    assert "not reproduced" not in verdicts


def test_without_an_effect_few_claims_pass():
    """At most 2.5 of 100; and with enough samples the absence of the effect is found."""
    generator, passed, refuted = np.random.default_rng(1), 0, 0
    for _ in range(500):
        row = judged(draw_hits(generator, 3, 400, *SPREADS, skill=(0.8, 0.8)), size=8.0)
        passed += row["verdict"] in ("reproduced", "direction reproduced")
        refuted += row["verdict"] == "not reproduced"
    assert passed / 500 <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / 500)
    assert refuted / 500 > 0.05


def test_swapped_arms_are_not_reproduced():
    hits = draw_hits(np.random.default_rng(2), 5, 3000, 0.05, 0.3, 0.5, skill=(1.2, 0.6))
    honest, swapped = judged(hits), judged(hits[::-1])
    assert honest["verdict"] in ("reproduced", "direction reproduced")
    assert swapped["verdict"] == "not reproduced"
    assert swapped["rule"] == 5
    assert swapped["difference"] == pytest.approx(-honest["difference"])


def test_shuffled_labels_are_at_chance():
    generator = np.random.default_rng(3)
    targets = generator.integers(0, 7, 2000)
    wrong = (targets + generator.integers(1, 7, (2, 3, 2000))) % 7
    rates = np.array([0.8, 0.7])[:, None, None]
    answers = np.where(generator.random((2, 3, 2000)) < rates, targets, wrong)
    honest = judged(answers == targets, targets, size=10.0)
    shuffled = judged(answers == generator.permutation(targets), targets, size=10.0)
    assert honest["rule"] == 6
    assert shuffled["rule"] == 4
    assert shuffled["verdict"] == "not reproduced"
    assert "chance" in shuffled["line"]


def test_one_seed_is_inconclusive_however_large_the_difference():
    hits = draw_hits(np.random.default_rng(4), 1, 2000, *SPREADS, skill=(2.0, 0.0))
    assert judged(hits)["rule"] == 3
    assert PLACE.dataset == "fer2013"
