import numpy as np
import pandas as pd

from fer_repro.report.run_costs import cost_part

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
