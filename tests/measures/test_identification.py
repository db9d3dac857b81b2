import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.measures import identification
from fer_repro.measures.identification import (
    distractor_rates,
    identification_rates,
    pool_templates,
    template_scores,
)
from fer_repro.measures.verification import auc, equal_error_rate, roc, tar_at_far, unit

GOLDENS = Path(__file__).parent.parent / "goldens"


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDENS / "face_verification.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "face_verification.npz") as loaded:
        return dict(loaded)


@pytest.fixture(scope="module")
def fill():
    spec = importlib.util.spec_from_file_location("goldens_fill", GOLDENS / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fill


@pytest.fixture
def megaface(fill):
    subjects = np.repeat(np.arange(6), 5)
    probes = 0.75 * fill("mega_probes", (30, 32)) + 0.7 * fill("mega_ids", (6, 32))[subjects]
    return probes, subjects, fill("mega_distractors", (1000, 32))


@pytest.mark.parametrize("variant", ["unit_features", "unit_features_times_quality"])
def test_golden_templates(golden, arrays, variant):
    quality = arrays["tpl_quality"] if "quality" in variant else None
    numbers, pooled = pool_templates(
        arrays["tpl_features"], arrays["tpl_template_id"], arrays["tpl_media_id"], quality
    )
    expected = arrays[f"tpl_{variant}_template_features"]
    assert np.linalg.norm(pooled - expected) / np.linalg.norm(expected) < 1e-9
    left, right = np.searchsorted(numbers, arrays["tpl_pairs"].T)
    scores = np.einsum("pd,pd->p", pooled[left], pooled[right])
    np.testing.assert_allclose(scores, arrays[f"tpl_{variant}_scores"], rtol=1e-9)
    curve, read = roc(scores, arrays["tpl_pair_label"]), golden["templates"]["variants"][variant]["roc"]
    assert auc(curve) == pytest.approx(read["auc"], rel=1e-9)
    assert equal_error_rate(curve) == pytest.approx(read["eer_linear"], rel=1e-9, abs=1e-12)
    for far, readings in read["tar_at_far"].items():
        found = tar_at_far(curve, float(far))
        assert found.tar == pytest.approx(readings["largest_tpr_with_fpr_not_above"], rel=1e-9)
        assert found.measurable == (float(far) * curve.impostors >= 1)


def test_golden_ranks(golden, megaface):
    found = identification_rates(*megaface, sizes=(10, 100, 1000))
    for size, expected in golden["megaface_rank"]["accuracy"].items():
        assert found[int(size)][1] == pytest.approx(expected["rank1"], rel=1e-9)
        assert found[int(size)][10] == pytest.approx(expected["rank10"], rel=1e-9)


def test_ranks_agree_with_a_naive_loop_whatever_the_block(megaface, monkeypatch):
    probes, subjects, distractors = megaface
    subjects = np.minimum(np.arange(30) // 4, 5)  # unequal numbers of images
    for block in (7, 4096):
        monkeypatch.setattr(identification, "_BLOCK", block)
        found = identification_rates(probes, subjects, distractors, (50, 20), (2,))
        rows, others = unit(probes), unit(distractors)
        for size in (20, 50):
            hits = [
                sum(rows[i] @ other > rows[i] @ rows[j] for other in others[:size]) < 2
                for i in range(30)
                for j in range(30)
                if i != j and subjects[i] == subjects[j]
            ]
            assert found[size][2] == pytest.approx(np.mean(hits))


def test_a_distractor_that_ties_does_not_beat_the_mate():
    probes, subjects = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([4, 4])
    rates = identification_rates(probes, subjects, np.array([[0.0, 2.0]]), (1,), (1,))
    assert rates[1][1] == 0.5  # from the first probe it ties, for the second it is the probe itself


def test_frames_of_one_medium_count_once():
    """Template 7: a still (1, 0) and a video of three frames (0, 1); template 3 uses a name again."""
    embeddings = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 5.0], [0.0, 1.0], [3.0, 0.0]])
    numbers, pooled = pool_templates(embeddings, np.array([7, 7, 7, 7, 3]), np.array([0, 1, 1, 1, 0]))
    assert numbers.tolist() == [3, 7]
    np.testing.assert_allclose(pooled, [[1, 0], [np.sqrt(0.5), np.sqrt(0.5)]])
    _, raw = pool_templates(embeddings, np.array([7, 7, 7, 7, 3]), np.array([0, 1, 1, 1, 0]), normalise=False)
    np.testing.assert_allclose(raw[1], np.array([2, 7 / 3]) / np.hypot(2, 7 / 3))


def test_pairs_of_templates_are_weighted_by_quality_unless_told_otherwise():
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    samples = pd.DataFrame({"template": [2, 2, 5], "medium": [0, 0, 0], "quality": [3.0, 4.0, 0.5]})
    pairs = np.array([[2, 5, 1], [5, 5, 1]])
    assert template_scores(embeddings, samples, pairs) == pytest.approx([0.6, 1])
    assert template_scores(embeddings, samples, pairs, weighted=False) == pytest.approx([np.sqrt(0.5), 1])
    raw = template_scores(embeddings * np.array([[1], [2], [1]]), samples, pairs, False, False)
    assert raw == pytest.approx([1 / np.sqrt(5), 1])
    for unknown in (1, 3, 9):
        with pytest.raises(UserError, match=rf"template {unknown} of a pair has no images among 2 templates"):
            template_scores(embeddings, samples, np.array([[2, 5, 1], [unknown, 2, 0]]))


def test_more_pairs_than_a_block_are_all_scored(monkeypatch):
    monkeypatch.setattr(identification, "_BLOCK", 3)
    samples = pd.DataFrame({"template": range(5), "medium": 0, "quality": 1.0})
    rows = np.random.default_rng(0).normal(size=(5, 4))
    pairs = np.array([[a, b, 0] for a in range(5) for b in range(a)])
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = [units[a] @ units[b] for a, b, _ in pairs]
    np.testing.assert_allclose(template_scores(rows, samples, pairs), expected)


def test_probes_are_those_with_a_name(megaface):
    probes, subjects, distractors = megaface
    names = np.array([f"p{number}" for number in subjects], object)
    samples = pd.DataFrame({"subject": [*names, *[""] * 200]})
    rows = np.concatenate([probes, distractors[:200]])
    shuffled = distractors[:200][np.random.default_rng(4).permutation(200)]
    found = distractor_rates(rows, samples, (50, 200), (1, 3), seed=4)
    assert found == identification_rates(probes, subjects, shuffled, (50, 200), (1, 3))
    assert distractor_rates(rows, samples, (50,)) == distractor_rates(rows, samples, (50,), (1, 10), seed=0)
    assert list(identification_rates(probes, subjects, shuffled, (50,))[50]) == [1, 10]


def test_mistakes_are_named(megaface):
    probes, subjects, distractors = megaface
    with pytest.raises(UserError, match="expected 1 to 1000, the distractors given"):
        identification_rates(probes, subjects, distractors, (1001,))
    with pytest.raises(UserError, match="none of 30 probes shows a person a second time"):
        identification_rates(probes, np.arange(30), distractors, (10,))
    with pytest.raises(UserError, match="expected one of each per image"):
        pool_templates(probes, subjects, np.arange(3))
    probes = probes.copy()
    probes[3, 0] = np.nan
    with pytest.raises(UserError, match="embedding 3 has the length nan"):
        identification_rates(probes, subjects, distractors, (10,))
