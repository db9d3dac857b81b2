from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.figures.result_files import read_rows
from fer_repro.figures.result_tables import metric_grid, published_grid, show_metrics

NAN = np.nan
TABLE = pd.DataFrame(
    [
        ["dynamic", "pair_accuracy", 76.5, 70.25, 80, NAN, "70.25 to 80.00", "threshold from 9; small"],
        ["dynamic", "auc", 80.0, NAN, NAN, 99.65, "", ""],
        ["chance", "pair_accuracy", 50.0, NAN, NAN, NAN, "", "always the same"],
        ["dynamic", "frame_log_loss", 0.51234, -0.1, 0.6, NAN, "x", "small"],
    ],
    columns=["arm", "metric", "value", "low", "high", "published", "interval", "note"],
).assign(unit=["%", "%", "%", "nats"])


def test_one_row_per_arm_and_one_column_per_metric():
    grid = metric_grid(TABLE)
    assert grid.columns.tolist() == ["arm", "pair accuracy", "AUC", "frame log loss"]
    assert grid.iloc[0].tolist() == [
        "dynamic",
        "76.50 (70.25 to 80.00)",
        "80.00, published 99.65",
        "0.5123 (−0.1000 to 0.6000)",
    ]
    assert grid.iloc[1].tolist() == ["chance", "50.00", "–", "–"]
    assert metric_grid(TABLE, ["auc"])["arm"].tolist() == ["dynamic"]


def test_the_budget_is_said_once():
    assert "What. Budget: small." in show_metrics(TABLE, "What.").markup
    assert "Budget" not in show_metrics(TABLE[1:3], "What.").markup


def test_a_published_table_as_its_readme_prints_it():
    published = read_rows(Path("results/published/results.csv"))
    grid = published_grid(published, "adacos", "README FaceX-Zoo").set_index("arm")
    assert grid.loc["dynamic"].tolist() == ["99.65", "83.27", "92.63", "95.38", "82.95"]
    assert list(grid) == ["lfw", "cplfw", "calfw", "agedb", "megaface"]
    assert len(grid) == 9
