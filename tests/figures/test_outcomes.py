import numpy as np
import pandas as pd

from fer_repro.figures.answer_figures import roc_lines, show_outcome

SCORES = pd.DataFrame(
    {"arm": ["a", "a", "b", "b"], "seed": [0, 0, 0, 0], "far": [0.0, 1.0] * 2, "tar": [0.2, 1.0, 0.6, 1.0]}
)


def test_classes_give_matrices_and_pairs_curves():
    matrices = show_outcome({"a": np.array([[3, 1], [0, 4]])}, ("x", "y"), pd.DataFrame(), "m on d")
    assert "Confusion" in matrices.markup
    curves = show_outcome({}, (), SCORES, "m on d")
    assert "Accepted same pairs" in curves.markup
    assert "m on d" in curves.markup


def test_every_arm_has_one_name_and_its_own_points():
    axes = roc_lines(pd.concat([SCORES, SCORES.assign(seed=1)])).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["a", "b"]
    assert lines["b"].get_ydata().tolist() == [0.6, 1.0]
    assert len(axes.lines) == 5
