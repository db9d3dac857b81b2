import json
from pathlib import Path

import numpy as np
import pytest
from evaluated_project import sample_table, write_classes, write_data, write_params, write_run
from small_pipeline import pipeline_of

from fer_repro.errors import UserError
from fer_repro.evaluation.finished import finished_runs, gather_evidence
from fer_repro.files import read_yaml
from fer_repro.runs.costs import COLUMNS, measure_costs

PARAMS = Path(__file__).parents[2] / "params.yaml"
ARMS = ("self_relation", "score_fusion")


@pytest.fixture
def clips(tmp_path):
    """Two clips of three frames each, tested with two seeds of two arms."""
    samples = sample_table([0] * 3 + [1] * 3, ["test"] * 6)
    samples["clip"] = ["a"] * 3 + ["b"] * 3
    params, model = write_params(tmp_path, PARAMS, "fan", ARMS)
    section = read_yaml(params)
    section["pipeline"] = pipeline_of("clips", ["fan"], small="data/small/manifest.json")
    params.write_text(json.dumps(section))
    write_data(tmp_path, samples, ("x", "y"))
    for arm in ARMS:
        for seed in (0, 1):
            place = write_run(tmp_path, "fan", arm, seed, model)
            config = json.loads((place / "config.json").read_text())
            config |= {"method": "fan", "arm": arm}
            config["recipe"]["image_size"] = 64
            (place / "config.json").write_text(json.dumps(config))
            write_classes(place, "xy", samples, np.eye(2)[[0, 0, 0, 1, 1, 1]])
            (place / "metrics.json").write_text("{}")
    return tmp_path, params


def test_parameters_and_operations_of_one_item(clips):
    folder, params = clips
    table = measure_costs(params, [("small", "fan")], folder / "runs", folder / "prepared")
    assert list(table) == list(COLUMNS)
    assert table["arm"].tolist() == list(ARMS)
    assert table["item"].tolist() == ["3 frames"] * 2
    more, less = table["parameters"]
    features = 8 * 8  # of the trunk at width 8
    assert more - less == (features + 1) + (2 * features + 1) + features * 2  # alpha, beta, wider classifier
    ours, fused = table["flops"]
    assert fused % 3 == 0  # each frame by itself
    heads = 2 * (3 * features + 3 * 2 * features + 2 * 2 * features)  # alpha, beta, one classifier of [f ; v]
    assert ours - fused == heads - 2 * 3 * 2 * features
    assert fused > 3 * 6e6


def test_only_finished_runs_count(clips):
    folder, params = clips
    assert finished_runs(params, folder / "runs") == [("small", "fan")]
    found = gather_evidence(params, folder / "runs", folder / "prepared")
    assert {one.metric for one in found} == {"accuracy", "mean_class_accuracy"}
    (folder / "runs/small/fan/1/score_fusion/metrics.json").unlink()
    assert finished_runs(params, folder / "runs") == []
    assert gather_evidence(params, folder / "runs", folder / "prepared") == []


def test_places_are_those_of_the_stages(clips, monkeypatch):
    folder, params = clips
    monkeypatch.chdir(folder)
    here = measure_costs(params, [("small", "fan")])
    assert here.equals(measure_costs(params, [("small", "fan")], "runs", "prepared"))
    assert finished_runs(params) == [("small", "fan")]
    assert len(gather_evidence(params)) == len(gather_evidence(params, "runs", "prepared")) > 0
    assert list(measure_costs(params, [])) == list(COLUMNS)


@pytest.mark.parametrize(
    ("splits", "item"), [(["train"] * 4 + ["val"] * 2, "2 frames"), (["train"] * 6, "4 frames")]
)
def test_without_test_clips_others_are_shown(clips, splits, item):
    folder, params = clips
    samples = sample_table([0] * 4 + [1] * 2, splits, clip=["a"] * 4 + ["b"] * 2)
    write_data(folder / "other", samples, ("x", "y"))
    table = measure_costs(params, [("small", "fan")], folder / "runs", folder / "other" / "prepared")
    assert table["item"].tolist() == [item] * 2


def test_a_wrong_model_section_names_its_file(clips):
    folder, params = clips
    path = folder / "runs/small/fan/0/self_relation/config.json"
    config = json.loads(path.read_text())
    config["recipe"]["model"]["widht"] = 3
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"self_relation/config\.json: recipe\.model.*widht"):
        measure_costs(params, [("small", "fan")], folder / "runs", folder / "prepared")
