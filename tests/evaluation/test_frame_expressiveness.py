"""Scores and weights beside the truth: clip by clip with scipy, without the first frames."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from fer_repro.evaluation.frame_expressiveness import SHUFFLES, expressiveness_agreement
from fer_repro.figures.attention import show_expressiveness
from fer_repro.measures.expressiveness import frame_scores

COUNTS = (6, 4, 5, 6, 3, 5)
ROWS = np.full((len(COUNTS), 6), -1)
for clip, count in enumerate(COUNTS):
    ROWS[clip, :count] = sum(COUNTS[:clip]) + np.arange(count)
GENERATOR = np.random.default_rng(0)
FRAMES = sum(COUNTS)
SAMPLES = pd.DataFrame(
    {
        "image": GENERATOR.permutation(FRAMES),  # rows of the table are not those of the images
        "subject": np.repeat(["a", "a", "b", "c", "d", "d"], COUNTS),
        "clip": np.repeat(list("pqrstu"), COUNTS),
        "intensity": GENERATOR.random(FRAMES),
        "distractor": "none",
    }
)
SAMPLES.loc[ROWS[4, :3], "intensity"] = 0.0  # a neutral clip
SAMPLES.loc[[ROWS[1, 2], ROWS[5, 0], ROWS[4, 1]], "distractor"] = "blink"
IMAGES = GENERATOR.integers(0, 256, (FRAMES, 4, 4), np.uint8)
LOOKS = [{"rows": ROWS, "samples": ROWS[:, 0], "weights": GENERATOR.random(ROWS.shape)} for _ in range(2)]


def table(samples=SAMPLES):
    return expressiveness_agreement(LOOKS, IMAGES, samples, 0.95)


def expected(name, clips):
    found = []
    for clip in clips:
        rows = ROWS[clip, : COUNTS[clip]]
        scores = frame_scores(IMAGES[SAMPLES["image"].to_numpy()[rows]])
        truth = SAMPLES["intensity"].to_numpy()[rows][1:]
        known = {"static": [scores.static], "dynamic": [scores.dynamic], "sum": [scores.total]}
        known["α β, the weights of Eq. 4"] = [look["weights"][clip, 1 : COUNTS[clip]] for look in LOOKS]
        found.append(np.mean([spearmanr(score, truth)[0] for score in known[name]]))
    return np.mean(found)


@pytest.mark.parametrize("name", ["static", "dynamic", "sum", "α β, the weights of Eq. 4"])
def test_means_are_those_of_single_clips(name):
    """Clip 4 is neutral and left out; clips 1 and 5 have a distractor, in the first frame, too."""
    rows = table()
    rows = rows[rows["weights"] == name].set_index("clips")
    for part, clips in {"without a distractor": (0, 2, 3), "with distractors": (1, 5)}.items():
        assert rows.loc[part, "mean"] == pytest.approx(expected(name, clips))
        assert (rows.loc[part, "items"], rows.loc[part, "of"]) == (len(clips), 3)


def test_the_last_rows_are_differences_of_the_others():
    rows = table().set_index(["clips", "weights"])["mean"]
    for part in ("without a distractor", "with distractors"):
        assert rows[part, "sum minus static"] == pytest.approx(rows[part, "sum"] - rows[part, "static"])
        ours = rows[part, "α β, the weights of Eq. 4"] - rows[part, "static"]
        assert rows[part, "α β minus static"] == pytest.approx(ours)


def test_shuffled_orders_are_many_and_always_the_same():
    rows = table()
    shuffled = rows[rows["weights"] == "dynamic, frames shuffled"]
    assert all(len(each) == SHUFFLES and len(set(each)) > 2 for each in shuffled["by_seed"])
    pd.testing.assert_frame_equal(rows, table())


def test_without_known_distractors_all_clips_are_one_part():
    rows = table(SAMPLES.drop(columns="distractor"))
    assert set(rows["clips"]) == {"all"}
    assert rows["mean"].iloc[0] == pytest.approx(expected("static", (0, 1, 2, 3, 5)))


def test_without_known_intensity_there_is_a_sentence():
    rows = table(SAMPLES.drop(columns="intensity"))
    assert rows.empty
    assert "is not known" in show_expressiveness(rows, 0.95).markup


def test_what_follows_is_said_by_the_intervals():
    rows = table(SAMPLES.drop(columns="distractor"))
    changes = {"sum minus static": (-0.3, -0.4, -0.2), "α β minus static": (0.1, -0.1, 0.3)}
    for name, numbers in changes.items():
        rows.loc[rows["weights"] == name, ["mean", "low", "high"]] = numbers
    text = show_expressiveness(rows, 0.95).markup
    assert "All clips (5): the sum follows the intensity less well than its static half alone" in text
    assert "no difference is shown between the weights and the static score (+0.10, −0.10 to +0.30)" in text
    rows.loc[rows["weights"] == "α β minus static", "low"] = 0.05
    assert "the weights follow the intensity better" in show_expressiveness(rows, 0.95).markup
    assert text.count("TED-inspired") == 1
