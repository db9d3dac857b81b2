import numpy as np
import pandas as pd
import pytest
from finished_project import result_rows

from fer_repro.figures.result_tables import as_results, common_ground, common_part, same_subjects
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")
RESULTS = pd.DataFrame(
    {
        "task": ["faces", "faces", "pairs"],
        "method": ["ran", "rmn", "ran"],
        "label": ["RAN$", "RMN", "RAN"],
        "value": [60.0, 70.0, 80.0],
        "low": [55.0, 66.0, np.nan],
        "high": [65.0, 74.0, np.nan],
        "seeds": [[59.0, 61.0], None, None],
    }
)


def test_the_best_stands_on_top_with_its_interval():
    figure = same_subjects(RESULTS, {"faces": 14.3})
    faces, pairs = figure.axes
    assert [label.get_text() for label in faces.get_yticklabels()] == ["RMN", r"RAN\$"]
    assert faces.lines[0].get_xdata().tolist() == [66.0, 74.0]
    assert [text.get_text() for text in faces.texts] == ["70.0", "60.0", "chance 14.3"]
    strokes = next(line for line in faces.lines if line.get_marker() == "|")
    assert strokes.get_xdata().tolist() == [59.0, 61.0]
    assert strokes.get_ydata().tolist() == [1, 1]
    assert len(pairs.lines) == 1  # no interval, no seeds, no chance
    assert pairs.get_title("left") == "pairs"
    assert png_bytes(figure)


def test_methods_keep_colour_and_marker_in_every_panel():
    faces, pairs = same_subjects(RESULTS).axes
    (ran,) = pairs.lines
    others = [line for line in faces.lines if line.get_marker() in "os" and line.get_xdata()[0] == 60.0]
    assert [(line.get_color(), line.get_marker()) for line in others] == [(ran.get_color(), ran.get_marker())]


def test_without_seeds_and_with_nothing_to_show():
    assert png_bytes(same_subjects(RESULTS.drop(columns="seeds")))
    assert png_bytes(same_subjects(RESULTS.iloc[:0]))


ARMS = {"rmn": "masked", "fan": "self_relation", "ran": "softmax_weights"}


def ground_rows():
    fan = result_rows("clips").query("arm == 'masked'").assign(method="fan", arm="self_relation")
    fan = fan.assign(value=[70.0, 72.0, 74.0, 72.0], low=fan["low"] - 9, high=fan["high"] - 9)
    noise = [
        result_rows("apex", tta="random, 8 copies"), result_rows("apex", metric="auc"),
        result_rows("apex").assign(protocol="clean"),
        result_rows("apex").head(1).assign(arm="masked - no_mask", unit="points"),
    ]  # fmt: skip
    return pd.concat([result_rows("apex"), result_rows("clips"), fan, *noise], ignore_index=True)


def test_each_method_has_one_result_on_the_same_people():
    table = common_ground(ground_rows(), ARMS, ("apex", "clips")).set_index("method")
    assert table["dataset"].tolist()[:2] == ["apex", "clips"]
    assert table["value"].tolist()[:2] == [81.0, 72.0]
    assert table.loc["rmn", "seeds"] == [81.0, 80.0, 82.0]
    assert np.isnan(table.loc["ran", "value"])
    assert table.loc["ran", "note"] == "not trained on these people"
    part = common_part(table.reset_index(), 0.95)
    assert part.frame["measured"].tolist() == ["81.00", "72.00", "–"]
    drawn = as_results(table.reset_index(), "faces")
    assert drawn["label"].tolist() == ["rmn masked", "fan self relation"]
    assert png_bytes(same_subjects(drawn))


def test_nothing_trained_is_said_too():
    table = common_ground(ground_rows().head(0), ARMS, ("apex",))
    assert table["value"].isna().all()
    assert png_bytes(same_subjects(as_results(table, "faces")))
