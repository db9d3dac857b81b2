"""params.yaml as DVC's own writer has it, and sets that are put into the pipeline."""

import shutil
from difflib import ndiff
from pathlib import Path

import pytest

from fer_repro.datasets.prepare import SYNTHETIC
from fer_repro.errors import UserError
from fer_repro.params import dataset_names, enable_dataset, read_params

PARAMS = Path(__file__).parents[1] / "params.yaml"
FURTHER = "further_seeds:\n- 0\n- 1\n- 2\n"


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copy(PARAMS, tmp_path))


def changes(path):
    """The lines that differ from the project's own, without the file's name."""
    before, after = PARAMS.read_text().splitlines(), path.read_text().splitlines()
    return [line for line in ndiff(before, after) if line[0] in "+-"]


def test_an_experiment_changes_one_line_each_time(copy):
    hydra = pytest.importorskip("dvc.utils.hydra", reason="DVC is not installed")
    hydra.apply_overrides(copy, ["methods.rmn.recipes.synthetic.epochs=12"])
    first = changes(copy)
    assert [line.split(":")[1].split("#")[0].strip() for line in first] == ["6", "12"]
    hydra.apply_overrides(copy, ["methods.rmn.recipes.synthetic.epochs=12"])
    assert changes(copy) == first
    hydra.apply_overrides(copy, ["methods.rmn.recipes.synthetic.epochs=6"])
    assert copy.read_bytes() == PARAMS.read_bytes()


def test_a_number_that_is_taken_over_is_set_with_a_plus(copy):
    hydra = pytest.importorskip("dvc.utils.hydra", reason="DVC is not installed")
    hydra.apply_overrides(copy, ["+methods.adacos.recipes.synthetic.clip_norm=1.0"])
    assert changes(copy) == ["+         clip_norm: 1.0"]


def test_a_set_is_put_into_the_pipeline_once(copy):
    manifest = "stores/ckplus48/manifest.json"
    assert enable_dataset(copy, "ckplus48", ["faces", "clips"], manifest)
    assert [line for line in changes(copy) if line[0] == "+"] == [
        f"+     ckplus48: {manifest}",
        "+     - ckplus48",
        "+   clips: {datasets: [synthetic_clips, ckplus48], methods: [fan]} # expressions of clips",
    ]
    runs = read_params(copy).pipeline.runs
    assert {run: task for run, task in runs.items() if run[0] == "ckplus48"} == {
        ("ckplus48", "rmn"): "faces", ("ckplus48", "ran"): "faces", ("ckplus48", "fan"): "clips",
    }  # fmt: skip
    before = copy.read_bytes()
    assert not enable_dataset(copy, "ckplus48", ["faces", "clips"], manifest)
    assert copy.read_bytes() == before


def test_an_edit_that_would_not_do_leaves_the_file(copy):
    before = copy.read_bytes()
    with pytest.raises(UserError, match="becomes a folder"):
        enable_dataset(copy, "a set", ["faces"], "stores/a/manifest.json")
    assert copy.read_bytes() == before
    assert [path.name for path in copy.parent.iterdir()] == ["params.yaml"]


def test_one_method_on_one_set_belongs_to_one_task(copy):
    text = copy.read_text().replace("methods: [fan]", "methods: [fan, rmn]", 1)
    copy.write_text(text.replace("[synthetic_clips]", "[synthetic_clips, synthetic]", 1))
    with pytest.raises(UserError, match="two tasks train 'rmn' on 'synthetic'"):
        read_params(copy)


def test_further_systems_have_seeds_of_their_own(copy):
    params = read_params(copy)
    assert (params.seeds_of("rmn"), params.seeds_of("p2sgrad")) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert params.seeds_of("cascade") == params.seeds_of("blinding") == [0, 1, 2]
    copy.write_text(copy.read_text().replace(FURTHER, "further_seeds: [1, 1]\n"))
    with pytest.raises(UserError, match="further_seeds holds 1 twice"):
        read_params(copy)
    copy.write_text(copy.read_text().replace("further_seeds: [1, 1]\n", ""))
    assert read_params(copy).seeds_of("cascade") == [0, 1, 2, 3, 4]


def test_every_known_set_has_limits():
    params = read_params(PARAMS)
    for name in (*dataset_names(), *SYNTHETIC):
        few = name in ("resampled", "synthetic_resampled")  # the paper is about few images
        assert params.limits(f"{name}-variant", "here").max_train == (40 if few else 0)
    for name, valid in (("default", "valid: "), ("fer2031", "did you mean 'fer2013'")):
        with pytest.raises(UserError, match=rf"here: data has no '{name}'; {valid}"):
            params.limits(name, "here")


def test_a_project_may_leave_out_tasks_of_full(copy):
    assert read_params(copy).full.clips.methods == []
    copy.write_text(copy.read_text().replace("  clips: {", "  # clips: {", 1))
    with pytest.raises(
        UserError, match=r"key 'pipeline\.clips' is missing; .* clips: \{datasets: \[\], methods: \[\]\}"
    ):
        read_params(copy)
