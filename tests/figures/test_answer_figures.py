import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from fer_repro.figures.answer_figures import (
    embedding_map,
    errors_by_setting,
    principal_plane,
    reliability_diagram,
    roc_lines,
    show_bars,
    show_curves,
    show_outcome,
)
from fer_repro.figures.style import png_bytes

SCORES = pd.DataFrame(
    {"arm": ["a", "a", "b", "b"], "seed": [0, 0, 0, 0], "far": [0.0, 1.0] * 2, "tar": [0.2, 1.0, 0.6, 1.0]}
)


def test_classes_give_matrices_and_pairs_curves():
    matrices = show_outcome({"a": np.array([[3, 1], [0, 4]])}, ("x", "y"), pd.DataFrame(), "m on d")
    assert "Confusion" in matrices.markup
    curves = show_outcome({}, (), SCORES, "m on d")
    assert "Accepted same pairs" in curves.markup
    assert "m on d" in curves.markup


def test_arms_without_epochs_have_a_sentence_for_a_curve():
    record = {"seed": 0, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    rows = [{"arm": "a", "epoch": 0}, *({"arm": "b", "epoch": epoch} for epoch in (1, 2))]
    history = pd.DataFrame([record | row for row in rows])
    both = show_curves(history, ["a", "b"], "Curves.").markup
    assert "Fitted at once, without epochs and so without a curve: a." in both
    assert "Learning curves of the arms b." in both
    assert "<figure" not in show_curves(history, ["a"], "Curves.").markup
    assert "Fitted at once" not in show_curves(history, ["b"], "Curves.").markup


def test_every_arm_has_one_name_and_its_own_points():
    axes = roc_lines(pd.concat([SCORES, SCORES.assign(seed=1)])).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["a", "b"]
    assert lines["b"].get_ydata().tolist() == [0.6, 1.0]
    assert len(axes.lines) == 5


pytestmark = pytest.mark.filterwarnings("error")


def test_diagram_prints_error_and_counts():
    confidences, right = np.array([0.9, 0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 1, 0, 1], bool)
    figure = reliability_diagram({"as trained": (confidences, right), "T = 2$": (confidences, right)}, bins=5)
    upper, lower = figure.axes[0], figure.axes[2]
    error = 0.8 * abs(0.75 - 0.9) + 0.2 * abs(1 - 0.6)
    assert upper.texts[0].get_text() == f"ECE {error:.1%}, accuracy 80.0%, confidence 84.0%"
    assert [bar.get_height() for bar in upper.containers[0]] == pytest.approx([1, 0.75])
    assert [bar.get_height() for bar in upper.containers[1]] == pytest.approx([-0.4, 0.15])
    assert [text.get_text() for text in lower.texts] == ["1", "4"]
    assert figure.axes[1].get_title("left") == r"T = 2\$"
    assert png_bytes(figure)


COLUMNS = ["arm", "class", "value", "low", "high"]


def test_bars_or_words():
    table = pd.DataFrame([["plain", "swap\n(3)", 0.5, 0.4, 0.6]], columns=COLUMNS)
    shown = show_bars(table, "AUC", "What to see.", "Unknown.").markup
    assert "plain, swap (3): 50.0%" in shown
    assert "What to see." in shown
    assert show_bars(table[:0], "AUC", "What to see.", "Unknown.").markup == '<p class="said">Unknown.</p>\n'


def test_plane_is_that_of_scikit_learn_up_to_signs():
    vectors = np.random.default_rng(0).normal(size=(40, 6)) * np.array([5, 3, 1, 1, 1, 1])
    points, shares = principal_plane(vectors)
    oracle = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(vectors)), atol=1e-9)
    assert shares == pytest.approx(oracle.explained_variance_ratio_)
    again, _ = principal_plane(-vectors)
    assert np.abs(again).max(axis=0) == pytest.approx(again.max(axis=0))


def test_half_precision_embeddings_are_summed_in_full():
    vectors = np.full((5000, 4), 60.0, np.float16)
    vectors[0, 0] = 70
    assert np.isfinite(principal_plane(vectors)[0]).all()


def test_few_groups_have_a_legend_and_many_a_name_on_the_map():
    points = np.random.default_rng(0).normal(size=(60, 2))
    people = [f"s{i % 12}$" for i in range(60)]
    figure = embedding_map(points, {"person": people, "expression": ["a", "b", "c"] * 20}, (0.5, 0.25))
    left, right = figure.axes
    assert left.get_legend() is None
    assert sorted(text.get_text() for text in left.texts) == sorted({p.replace("$", r"\$") for p in people})
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["a", "b", "c"]
    assert [len(part.get_offsets()) for part in right.collections] == [20, 20, 20]
    assert "50%" in left.get_xlabel()
    assert png_bytes(figure)


def test_groups_differ_in_colour_or_marker():
    points = np.zeros((20, 2))
    axes = embedding_map(points, {"person": [f"{i:02d}" for i in range(20)]}).axes[0]
    looks = {
        (tuple(part.get_facecolor()[0]), part.get_paths()[0].vertices.tobytes()) for part in axes.collections
    }
    assert len(looks) == 20


def test_errors_are_drawn_over_the_true_settings():
    table = pd.DataFrame(
        [("a", 10, 4.0, 3.0, 5.0), ("a", 200, 2.0, np.nan, np.nan), ("b", 10, 1.0, 0.5, 1.5)],
        columns=["arm", "setting", "value", "low", "high"],
    )
    figure = errors_by_setting(table, "pairs")
    (axes,) = figure.axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[10, 4], [200, 2]], [[10, 1]]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "200"]
    assert axes.get_xlabel() == "pairs"
