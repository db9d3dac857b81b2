import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fer_repro.evaluation.agreement import mask_table
from fer_repro.figures import explained
from fer_repro.figures import results as figures
from fer_repro.figures.result_tables import gap_plot
from fer_repro.figures.style import DPI, png_bytes

CLASSES = ["angry", "$\\frac$", "<b>"]


def generator():
    return np.random.default_rng(0)


def draw_all():
    """One of each figure, small, with names that try to be formulas."""
    draws = generator()
    faces = draws.integers(0, 255, (4, 12, 12), dtype=np.uint8)
    masks = [draws.uniform(0, 1, (4, 4, 8, 8)), draws.uniform(0, 1, (4, 8, 4, 4))]
    samples = pd.DataFrame(
        {"split": ["train", "val", "test", "train"], "label": [0, 1, 2, 0], "yaw": [1.0, 2, 3, 4]}
    )
    history = pd.DataFrame(
        {
            "arm": ["a$", "a$", "b", "b"], "seed": [0, 1, 0, 1], "epoch": [1, 1, 1, 1], "train_loss": 1.0,
            "val_loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5,
        }
    )  # fmt: skip
    recalls = pd.DataFrame({"arm": "a$", "class": CLASSES, "value": 0.5, "low": 0.4, "high": 0.7})
    results = pd.DataFrame(
        {"label": ["one$", "two"], "measured": [60.0, 70], "low": [59.0, np.nan], "high": [61.0, np.nan],
         "published": [74.0, np.nan]}
    )  # fmt: skip
    pairs = pd.DataFrame({"arm": ["h$", "c", "h$", "c"], "seed": [0, 0, 1, 1], "value": [60.0, 61, 62, 61]})
    errors = pd.DataFrame({"target": CLASSES, "predicted": CLASSES, "probability": 0.9})
    stages = pd.DataFrame(
        {
            "stage": ["stem", "mask"],
            "output": ["8", "$"],
            "parameters": [10, 90],
            "macs": [5e9, 5e3],
            "mask": [False, True],
        }
    )
    yield figures.class_balance(samples, CLASSES)
    yield figures.contact_sheet(faces, CLASSES, columns=3)
    yield figures.factor_distributions(samples, ["yaw", "split"])
    yield figures.learning_curves(history)
    yield figures.confusion_matrices({"a$": np.eye(3) * 4, "b": np.zeros((3, 3))}, CLASSES)
    yield figures.recall_bars(recalls)
    yield gap_plot(results)
    yield gap_plot(pd.concat([results] * 9, ignore_index=True))
    yield figures.paired_seeds(pairs, "h$", "c")
    yield figures.error_gallery(faces, errors, columns=3)
    yield explained.mask_overlay(faces, masks, [*CLASSES, "d"])
    yield explained.mask_overlay(faces, [np.full((4, 4, 8, 8), 0.25)], [*CLASSES, "d"], "max")
    yield explained.score_overlay(faces, masks, [*CLASSES, "d"])
    yield explained.mask_statistics(masks, mask_table(masks))
    yield explained.mask_by_channel(masks[0][0], faces[0])
    yield explained.network_drawing(stages)


def test_every_figure_is_drawn_and_left_to_nobody(recwarn):
    assert all(png_bytes(figure).startswith(b"\x89PNG") for figure in draw_all())
    assert not plt.get_fignums()
    assert not [str(w.message) for w in recwarn if "fer_repro" in str(w.filename)]


def test_no_errors_makes_an_empty_gallery():
    empty = pd.DataFrame({"target": [], "predicted": [], "probability": []})
    assert png_bytes(figures.error_gallery(np.zeros((0, 8, 8)), empty))


def test_figures_are_byte_stable():
    assert png_bytes(next(draw_all())) == png_bytes(next(draw_all()))


def test_a_flat_mask_is_said_to_be_flat():
    figure = explained.mask_overlay(np.zeros((1, 8, 8)), [np.full((1, 4, 2, 2), 0.25)], ["x"])
    assert "1.25 everywhere" in figure.axes[1].get_title("left")


def test_layout_beforehand_is_that_of_savefig():
    history = pd.DataFrame(
        {"arm": "a", "seed": 0, "epoch": [1, 2]}
        | dict.fromkeys(("train_loss", "val_loss", "train_accuracy", "val_accuracy"), 0.5)
    )
    figure = figures.learning_curves(history)
    engine = figure.get_layout_engine()
    found, buffer = png_bytes(figure), io.BytesIO()
    assert figure.get_layout_engine() is engine
    figures.learning_curves(history).savefig(buffer, dpi=DPI, metadata={"Software": None})
    assert found == buffer.getvalue()
