"""Weights of frames and both formulas against loops over single clips, written from the paper's equations."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.stats import spearmanr
from untrained_runs import clip_frames, write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.frame_weights import (
    COLUMNS,
    alpha_alone,
    clip_logits,
    compare_formulas,
    frame_table,
    frame_weights_of_test,
    heaviest_frames,
    intensity_agreement,
    intensity_correlations,
    intensity_steps,
    look_at_clips,
    weights_by_distractor,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.measures.intervals import paired_difference
from fer_repro.runs.loaded_run import load_run, look

COUNTS = (3, 5, 2, 4)
ARM = "self_relation"
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    store = write_images(folder / "small", clip_frames(COUNTS), ("a", "b"))
    networks = {
        seed: write_untrained(folder / "runs", "fan", "synthetic_clips", ARM, seed, 2) for seed in SEEDS
    }
    write_untrained(folder / "runs", "fan", "synthetic_clips", "feature_average", 0, 2)
    return folder / "runs", store, networks


def folders(root, seeds=SEEDS, arm=ARM):
    return {seed: run_folder(root, "synthetic_clips", "fan", seed, arm) for seed in seeds}


def rows_of(clip):
    begin = sum(COUNTS[:clip])
    return np.arange(begin, begin + COUNTS[clip])


def by_loop(network, store, clip):
    """alpha, beta, the logits of Eq. 4 and those of the authors' evaluation, frame by frame."""
    with torch.no_grad():
        features = []
        for row in rows_of(clip):
            image = torch.from_numpy(np.array(store.images[row]))[None, None]
            features.append(network.embed_images(clean_images(image, 32))[0])
        alpha = [network.alpha(f)[0] for f in features]
        anchor = sum(a * f for a, f in zip(alpha, features, strict=True)) / sum(alpha)
        joined = [torch.cat([f, anchor]) for f in features]
        beta = [network.beta(j)[0] for j in joined]
        total = sum(a * b for a, b in zip(alpha, beta, strict=True))
        paper = sum(a * b * j for a, b, j in zip(alpha, beta, joined, strict=True)) / total
        authors = sum(a * j for a, j in zip(alpha, joined, strict=True)) / total
        scale = float(sum(alpha) / total)
        assert torch.allclose(authors, scale * torch.cat([anchor, anchor]), atol=1e-4)  # s [v ; v]
        logits = [network.pred_fc2(feature).numpy() for feature in (paper, authors)]
    return np.array(alpha), np.array(beta), *logits, scale


def test_weights_are_those_of_single_clips(project):
    root, store, networks = project
    looked = frame_weights_of_test(folders(root, [0]), store)[0]
    assert looked["rows"].shape == (4, 5)
    for clip, count in enumerate(COUNTS):
        alpha, beta, *_ = by_loop(networks[0], store, clip)
        assert looked["rows"][clip].tolist() == [*rows_of(clip), *[-1] * (5 - count)]
        np.testing.assert_allclose(looked["alpha"][clip, :count], alpha, atol=1e-5)
        np.testing.assert_allclose(looked["beta"][clip, :count], beta, atol=1e-5)
        shares = alpha * beta / (alpha * beta).sum()
        np.testing.assert_allclose(looked["weights"][clip], [*shares, *[0] * (5 - count)], atol=1e-5)
        alone = alpha_alone(looked)["weights"][clip]
        np.testing.assert_allclose(alone, [*alpha / alpha.sum(), *[0] * (5 - count)], atol=1e-5)
        assert heaviest_frames(looked)[rows_of(clip)[0]] == rows_of(clip)[shares.argmax()]


def test_formulas_are_those_of_single_clips(project):
    root, store, networks = project
    found = compare_formulas(folders(root), store)
    assert tuple(found.table.columns) == COLUMNS
    gaps = []
    for seed, row in zip(SEEDS, found.table.to_dict("records"), strict=True):
        loops = [by_loop(networks[seed], store, clip) for clip in range(4)]
        hits, sure = [], []
        for kind in (2, 3):
            logits = np.array([loop[kind] for loop in loops])
            hits.append(100 * np.mean(logits.argmax(1) == [0, 1, 0, 1]))
            shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            sure.append(100 * shares.max(1).mean())
        moved = [loop[2].argmax() != loop[3].argmax() for loop in loops]
        assert (row["seed"], row["eq4"], row["authors"]) == (seed, *hits)
        assert row["difference"] == pytest.approx(hits[1] - hits[0])
        assert row["changed"] == pytest.approx(100 * np.mean(moved))
        found_sure = (row["confidence_eq4"], row["confidence_authors"])
        assert found_sure == pytest.approx(tuple(sure), abs=1e-3)
        assert row["scale"] == pytest.approx(np.median([loop[4] for loop in loops]), rel=1e-4)
        gaps.append(hits[1] - hits[0])
    for place, name in enumerate(("Eq. 4", "authors' formula")):
        sure, right = found.sureness[name]
        assert sure.shape == right.shape == (8,)
        column = ("confidence_eq4", "confidence_authors")[place]
        assert 100 * sure.mean() == pytest.approx(found.table[column].mean())
        assert 100 * right.mean() == pytest.approx(found.table[("eq4", "authors")[place]].mean())
    assert found.difference.value == pytest.approx(np.mean(gaps))


def test_the_difference_of_the_formulas_takes_people_together(project):
    root, store, networks = project
    people = np.repeat(["ann", "ann", "bob", "cy"], COUNTS)
    known = copy(store)
    known.samples = store.samples.assign(subject=people)
    loops = [by_loop(networks[0], store, clip) for clip in range(4)]
    paper, authors = (
        np.array([[loop[kind].argmax() == label for loop, label in zip(loops, (0, 1, 0, 1), strict=True)]])
        for kind in (2, 3)
    )
    for given in ({}, {"confidence": 0.8, "resamples": 30}):
        found = compare_formulas(folders(root, [0]), known, **given).difference
        wanted = paired_difference(
            authors, paper, given.get("confidence", 0.95), given.get("resamples", 2000), clusters=[0, 0, 1, 2]
        )
        assert (found.value, found.low, found.high) == pytest.approx(
            (100 * wanted.value, 100 * wanted.low, 100 * wanted.high)
        )
        assert found.kind == wanted.kind == "paired bootstrap over 3 groups"


def test_predictions_take_some_clips_in_the_order_of_the_table(project):
    root, store, networks = project
    run = load_run(run_folder(root, "synthetic_clips", "fan", 0, ARM), store)
    logits, targets = clip_logits(run, np.concatenate([rows_of(3), rows_of(1)]))
    np.testing.assert_allclose(logits[0], by_loop(networks[0], store, 1)[2], atol=1e-5)
    assert targets.tolist() == [1, 1]
    assert look_at_clips(run, np.arange(14), limit=2)["rows"].shape[0] == 2


def test_agreement_is_scipys_inside_clips(project):
    root, store, _ = project
    looks = frame_weights_of_test(folders(root), store)
    row = intensity_agreement({"ab": list(looks.values())}, store.samples, 0.95).iloc[0]
    truth = store.samples["intensity"].to_numpy()
    rhos = [
        [spearmanr(looks[s]["weights"][c, :n], truth[rows_of(c)]).statistic for c, n in enumerate(COUNTS)]
        for s in SEEDS
    ]
    assert row["mean"] == pytest.approx(np.mean(rhos))
    assert row["low"] < row["mean"] < row["high"]
    assert (row["items"], row["of"]) == (4, 4)
    nothing = intensity_agreement({"ab": list(looks.values())}, pd.DataFrame({"label": [0]}), 0.95)
    assert nothing.empty


def test_arms_without_attention_are_named(project):
    root, store, _ = project
    run = load_run(run_folder(root, "synthetic_clips", "fan", 0, "feature_average"), store)
    with pytest.raises(UserError, match="'feature_average': it weighs no frames"):
        look_at_clips(run, np.arange(14))
    with pytest.raises(UserError, match="no relation attention"):
        compare_formulas(folders(root, [0], "feature_average"), store)


def test_agreement_takes_the_clips_of_one_person_together(project):
    root, store, _ = project
    looks = frame_weights_of_test(folders(root, [0]), store)
    people = np.repeat(["ann", "ann", "bob", "bob"], COUNTS)
    alone = intensity_agreement({"ab": [looks[0]]}, store.samples.assign(subject=""), 0.95).iloc[0]
    grouped = intensity_agreement({"ab": [looks[0]]}, store.samples.assign(subject=people), 0.95).iloc[0]
    rhos = [
        spearmanr(looks[0]["weights"][c, :n], store.samples["intensity"].to_numpy()[rows_of(c)]).statistic
        for c, n in enumerate(COUNTS)
    ]
    assert alone["mean"] == grouped["mean"] == pytest.approx(np.mean(rhos))
    pairs = np.array(rhos).reshape(2, 2).sum(1) / 4
    half = stats.t.ppf(0.975, 1) * np.sqrt(2 * np.sum((pairs - np.mean(rhos) / 2) ** 2))
    assert grouped["high"] - grouped["mean"] == pytest.approx(half)
    assert grouped["high"] - grouped["mean"] != pytest.approx(alone["high"] - alone["mean"])
    assert grouped["weights"] == "ab"


def test_clips_are_wanted_and_faces_elsewhere(project, tmp_path):
    root, store, _ = project
    write_untrained(tmp_path / "runs", "rmn", "synthetic", "masked", 0, 2)
    faces = load_run(run_folder(tmp_path / "runs", "synthetic", "rmn", 0, "masked"), store)
    with pytest.raises(UserError, match="method rmn: expected one that takes clips"):
        clip_logits(faces, np.arange(14))
    clips = load_run(run_folder(root, "synthetic_clips", "fan", 0, ARM), store)
    with pytest.raises(UserError, match="method fan: expected one that takes faces"):
        look(clips, np.arange(3))


SAMPLES = pd.DataFrame(
    {
        "intensity": [0.0, 0.5, 1.0, 0.0, 0.4, 1.0, 0.2],
        "distractor": ["none", "none", "none", "blink", "none", "occluder", "occluder"],
    }
)
LOOKED = {
    "rows": np.array([[0, 1, 2, -1], [3, 4, 5, 6]]),
    "weights": np.array([[0.1, 0.3, 0.6, 0.0], [0.1, 0.5, 0.2, 0.2]]),
}


def test_frames_weigh_relative_to_equal_weights_without_padding():
    table = frame_table({"a": LOOKED}, SAMPLES)
    assert table["relative"].tolist() == pytest.approx([0.3, 0.9, 1.8, 0.4, 2.0, 0.8, 0.8])
    assert table["clip"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert table["distractor"].tolist() == SAMPLES["distractor"].tolist()
    assert frame_table({}, SAMPLES).empty
    unknown = frame_table({"a": LOOKED}, SAMPLES[[]])
    assert unknown["intensity"].isna().all()
    assert set(unknown["distractor"]) == {"none"}
    assert intensity_steps(unknown).empty
    assert weights_by_distractor({"a": LOOKED}, SAMPLES[[]], 0.95).empty


def test_steps_leave_distractors_out():
    frames = pd.DataFrame({"arm": "a", "clip": 0, "intensity": [0.1, 0.1, 0.15, 0.1, 1.0],
                           "distractor": ["none", "none", "none", "blink", "none"],
                           "relative": [1.0, 2.0, 4.0, 9.0, 5.0]})  # fmt: skip
    steps = intensity_steps(frames)
    assert steps["intensity"].tolist() == pytest.approx([0.1, 0.9])
    assert steps[["low", "middle", "high"]].to_numpy().tolist() == [[1.5, 2, 3], [5, 5, 5]]


def test_correlations_are_scipys_together_and_inside_clips():
    frames = frame_table({"a": LOOKED}, SAMPLES)
    (found,) = intensity_correlations(frames).to_dict("records")
    clips = [
        spearmanr(*part[["relative", "intensity"]].to_numpy().T)[0] for _, part in frames.groupby("clip")
    ]
    assert found["together"] == pytest.approx(spearmanr(frames["relative"], frames["intensity"])[0])
    assert (found["inside"], found["clips"]) == (pytest.approx(np.mean(clips)), 2)


def test_distractors_are_averaged_over_clips_not_frames():
    looks = {
        "rows": np.array([[0, 1, 2], [3, 4, -1]]),
        "weights": np.array([[0.2, 0.3, 0.5], [0.45, 0.55, 0]]),
    }
    samples = pd.DataFrame({"distractor": ["blink", "blink", "none", "blink", "none"]})
    table = weights_by_distractor({"a": looks}, samples, 0.9).set_index("distractor")
    blink = [0.75, 0.9]
    assert table.loc["blink", "mean"] == pytest.approx(np.mean(blink))
    reach = stats.t.interval(0.9, 1, loc=np.mean(blink), scale=stats.sem(blink))
    assert table.loc["blink", ["low", "high"]].tolist() == pytest.approx(reach)
    assert table["frames"].to_dict() == {"blink": 3, "none": 2}
