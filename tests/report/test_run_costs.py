import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_project import PARAMS, write

from fer_repro.report.run_costs import cost_part, read_timing, summarise_timing, training_times

COSTS = pd.DataFrame(
    {
        "method": ["rmn", "rmn"], "arm": ["masked", "no_mask"], "dataset": ["d", "d"],
        "parameters": [137_796_423, 21_288_263], "item": ["1 face", "1 face"], "flops": [43.81e9, 7.33e9],
    }
)  # fmt: skip


def test_files_hold_no_times():
    part = cost_part(COSTS)
    assert part.frame["millions"].tolist() == [43810, 7330]
    assert [column.heading for column in part.columns][-1] == "Operations (M)"
    without = cost_part(
        COSTS, COSTS.assign(train_seconds=np.nan)[["method", "arm", "dataset", "train_seconds"]]
    )
    assert without.columns == part.columns


def test_both_steps_of_training_count_and_what_it_needed():
    times = COSTS[["method", "arm", "dataset"]].assign(
        train_seconds=[60.0, np.nan], first_step_seconds=[30.0, np.nan], images_per_second=[100.0, np.nan],
        data_share=[0.25, np.nan], memory_mb=[1536.0, np.nan],
    )  # fmt: skip
    part = cost_part(COSTS, times)
    assert part.frame["training"].tolist() == ["1 min 30 s", ""]
    assert part.frame["memory"].tolist() == ["1.5 GB", "not recorded"]
    assert part.frame["waiting"].tolist() == ["25 %", "not recorded"]
    assert "mean over seeds" in part.caption


EPOCHS = [
    {"epoch": 1, "seconds": 30.0, "images_per_second": 90.0, "data_share": 0.2, "memory_mb": 700.0},
    {"epoch": 2, "seconds": 10.0, "images_per_second": 110.0, "data_share": 0.6, "memory_mb": 900.5},
]


@pytest.fixture
def place(tmp_path):
    write(tmp_path / "params.yaml", PARAMS)
    return tmp_path


def keep(place: Path, seed: int, timing: object, arm: str = "masked") -> None:
    write(place / f"timings/synthetic/rmn/{seed}/{arm}.json", json.dumps(timing))


def test_epochs_count_by_their_time():
    found = summarise_timing({"train_seconds": 41, "images_per_second": 95, "epochs": EPOCHS})
    assert found["data_share"] == pytest.approx((30 * 0.2 + 10 * 0.6) / 40)
    assert found["memory_mb"] == 900.5
    assert (found["train_seconds"], found["images_per_second"]) == (41, 95)


def test_older_files_leave_gaps():
    found = summarise_timing({"train_seconds": 41})
    assert np.isnan(found["memory_mb"])
    assert np.isnan(found["data_share"])
    unknown = summarise_timing({"train_seconds": "long", "epochs": [{"epoch": 1, "seconds": 3.0}]})
    assert np.isnan(list(unknown.values())).all()


def test_times_are_means_over_seeds_and_memory_the_most(place):
    keep(place, 0, {"train_seconds": 10.0, "epochs": EPOCHS[:1]})
    keep(place, 1, {"train_seconds": 20.0, "epochs": EPOCHS[1:]})
    table = training_times(place / "params.yaml", [("synthetic", "rmn")], place / "timings")
    assert table["arm"].tolist() == ["masked", "no_mask"]
    masked, other = table.iloc[0], table.iloc[1]
    assert masked["train_seconds"] == 15.0
    assert masked["data_share"] == pytest.approx((0.2 + 0.6) / 2)
    assert masked["memory_mb"] == 900.5
    assert other[["train_seconds", "memory_mb"]].isna().all()


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_file_counts_as_none(place, text):
    write(place / "timings/synthetic/rmn/0/masked.json", text)
    assert read_timing(place / "timings", "synthetic", "rmn", 0, "masked") == {}
