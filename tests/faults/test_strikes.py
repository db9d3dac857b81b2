"""One hundred strikes at random moments: all in a long run, twelve drawn anew in each quick one.

FER_REPRO_STRIKES repeats the moments of a run that failed. ``FER_REPRO_FIGURES=tests/faults/faults.json make
test-slow`` keeps what the long run has seen.
"""

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest
import targets
from strikes import KINDS, moments, strike

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")

HOW_OFTEN = {  # stage -> how often each of KINDS strikes
    "loop": (5, 5, 5, 3, 5, 5, 3, 4),
    "runner": (4, 4, 5, 5, 3, 3, 2, 2),
    "sweep": (2, 2, 3, 3, 2, 2, 1, 1),
    "data add": (1, 1, 3, 0, 1, 1, 1, 1),
    "prepare": (0, 1, 1, 0, 1, 0, 0, 0),
    "train": (0, 1, 1, 1, 0, 0, 0, 0),
    "evaluate": (1, 0, 1, 0, 0, 0, 0, 0),
    "compare": (0, 0, 1, 0, 0, 1, 0, 0),
    "report": (0, 0, 1, 0, 1, 0, 0, 0),
}
STRIKES = [
    (stage, kind)
    for stage, often in HOW_OFTEN.items()
    for kind, n in zip(KINDS, often, strict=True)
    for _ in range(n)
]
REAL = ("data add", "prepare", "train", "evaluate", "compare", "report")
QUICK = {"loop": 8, "runner": 3, "data add": 1}  # of the twelve; the others take longer


@pytest.fixture(scope="session")
def target_of(tmp_path_factory):
    """Makes a target when it is first asked for, and measures it undisturbed."""
    made, place = {}, tmp_path_factory.mktemp("targets")
    alone = {
        "loop": targets.loop,
        "runner": targets.runner,
        "sweep": targets.sweep,
        "data add": targets.data_add,
    }

    def get(name):
        if name not in made and name in alone:
            made[name] = alone[name](place / name).measure(place / f"undisturbed {name}")
        elif name not in made:
            made.update(targets.real_stages(place / "real"))
        return made[name]

    return get


@pytest.fixture(scope="session")
def figures(seed):
    """Collects what the strikes saw, and writes it to the file that FER_REPRO_FIGURES names."""
    seen = []
    yield seen
    if "FER_REPRO_FIGURES" in os.environ:
        table = Counter((one["stage"], one["kind"]) for one in seen)
        found = {
            "seed": seed,
            "strikes": len(seen),
            "survived": sum(one["survived"] for one in seen),
            "while the program ran": sum(one["while running"] for one in seen),
            "by stage": {
                stage: {kind: table[stage, kind] for kind in KINDS if table[stage, kind]}
                for stage in dict.fromkeys(one["stage"] for one in seen)
            },
        }
        Path(os.environ["FER_REPRO_FIGURES"]).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def test_the_table_holds_what_is_promised():
    assert len(STRIKES) == 100
    assert sum(stage in REAL for stage, _ in STRIKES) >= 10
    assert sum(QUICK.values()) == 12
    assert {kind for _, kind in STRIKES} == set(KINDS)


@pytest.mark.parametrize("slot", range(sum(QUICK.values())))
def test_a_drawn_strike(slot, seed, target_of, tmp_path):
    stages = [stage for stage, count in QUICK.items() for _ in range(count)]
    numbers = [n for n, (stage, _) in enumerate(STRIKES) if stage == stages[slot]]
    random.Random(f"{seed} {stages[slot]}").shuffle(numbers)
    number = numbers[slot - stages.index(stages[slot])]
    print(f"FER_REPRO_STRIKES={seed}, strike {number}", flush=True)
    strike(target_of(stages[slot]), STRIKES[number][1], moments(seed, number), tmp_path / "place")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(STRIKES)))
def test_each_strike(number, seed, target_of, figures, tmp_path):
    stage, kind = STRIKES[number]
    print(f"FER_REPRO_STRIKES={seed}, strike {number}: {stage}, {kind}", flush=True)
    figures.append({"stage": stage, "kind": kind, "while running": False, "survived": False})
    seen = strike(target_of(stage), kind, moments(seed, number), tmp_path / "place")
    figures[-1].update(seen, survived=True)
