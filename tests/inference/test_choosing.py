"""Which networks are taken when none is named, and why."""

import json
from dataclasses import replace

import pytest
from tiny_models import tiny_state

from fer_repro.errors import UserError
from fer_repro.inference.choosing import choose_models
from fer_repro.inference.networks import write_model

EFFICIENTNET = ("plain", "attention", "plain_siamese", "attention_siamese", "xception")

REAL_FACES = "trained on photographs; others are trained on synthetic faces or on unknown data"


@pytest.fixture
def run(tmp_path):
    """Makes what is looked at of a run; its path as ``load`` takes it."""
    (tmp_path / "params.yaml").touch()  # a project: the networks that come along would be its own

    def make(name, accuracy=None, header="logit_happy", place="runs", pairs=False):
        dataset, method, seed, arm = name.split("/")
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        config = {"dataset": dataset, "method": method, "seed": int(seed), "arm": arm}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.json").write_text(json.dumps({"val": {"accuracy": accuracy} if accuracy else {}}))
        (folder / "weights.safetensors").write_bytes(b"")
        (folder / ("pairs.csv" if pairs else "predictions.csv")).write_text(f"sample,{header}\n")
        return folder.as_posix()

    return make


def chosen(tmp_path, task="expression"):
    choice = choose_models(task, tmp_path)
    return list(choice.paths), choice.reason


def test_real_data_come_before_synthetic_faces(run, tmp_path):
    run("synthetic/rmn/0/masked", 0.896)
    real = run("fer2013/rmn/0/no_mask", 0.51)
    assert chosen(tmp_path) == ([real], REAL_FACES)


def test_unknown_data_come_between(run, tmp_path):
    run("synthetic/rmn/0/masked", 0.9)
    unknown = run("kdef/rmn/0/masked", 0.2)
    assert chosen(tmp_path) == ([unknown], "the others are trained on synthetic faces")
    real = run("fer2013/rmn/0/masked", 0.1)
    assert chosen(tmp_path)[0] == [real]


@pytest.fixture
def shipped(tmp_path):
    """A network of FERPlus among those that come with the repository; its path as ``load`` takes it."""
    path = tmp_path / "networks/ferplus-whole_face/model.safetensors"
    path.parent.mkdir(parents=True)
    state, spec = tiny_state("rmn")
    write_model(path, state, replace(spec, dataset="ferplus"))
    return path.as_posix()


def test_the_shipped_network_comes_before_synthetic_faces(run, shipped, tmp_path):
    assert chosen(tmp_path) == ([shipped], "the only one for expression; it comes with the repository")
    run("synthetic/rmn/0/masked", 0.9)
    reason = f"{REAL_FACES}; it comes with the repository"
    assert chosen(tmp_path) == ([shipped], reason)


def test_own_real_runs_come_before_the_shipped_network(run, shipped, tmp_path):
    own = run("fer2013/rmn/0/no_mask", 0.1)
    assert chosen(tmp_path) == ([own], "your own before the one that comes with the repository")


def test_the_papers_arm_comes_before_its_control(run, tmp_path):
    run("fer2013/rmn/0/no_mask", 0.60)
    own = run("fer2013/rmn/0/masked", 0.50)
    assert chosen(tmp_path) == ([own], "the paper's own arm")


def test_pairs_take_the_papers_arm_not_the_first_name(run, tmp_path):
    for arm in ("arcface", "softmax"):
        run(f"synthetic_pairs/adacos/0/{arm}", pairs=True)
    own = run("synthetic_pairs/adacos/0/dynamic", pairs=True)
    later = run("synthetic_pairs/adacos/1/dynamic", pairs=True)
    assert chosen(tmp_path, "verification") == ([own], "the paper's own arm; first by name of 2")
    assert later > own


def test_validation_decides_within_one_data_set(run, tmp_path):
    run("fer2013/rmn/0/masked", 0.50)
    best = run("fer2013/rmn/1/masked", 0.55, place="scratch/runs")
    run("fer2013/ran/0/softmax_weights", 0.54)
    assert chosen(tmp_path) == ([best], "best accuracy on the validation part of fer2013, 55.0%")


def test_accuracies_of_two_data_sets_are_never_compared(run, tmp_path):
    run("rafdb/rmn/0/masked", 0.90)
    run("fer2013/rmn/0/masked", 0.40)
    best = run("fer2013/rmn/1/masked", 0.50)
    paths, reason = chosen(tmp_path)
    assert paths == [best]
    assert "fer2013 first by name of the data sets fer2013, rafdb, whose numbers cannot be compared" in reason
    assert "best accuracy on the validation part of fer2013, 50.0%" in reason


def test_manipulation_takes_the_ensemble_of_one_seed(run, tmp_path):
    for seed, accuracy in ((0, 0.6), (1, 0.7)):
        for arm in EFFICIENTNET:
            higher = 0.3 if arm == "xception" else 0.0
            run(f"ffpp/efficientnet/{seed}/{arm}", accuracy + higher, "logit_real,logit_manipulated")
    run("ffpp/efficientnet/2/plain", 0.99, "logit_real,logit_manipulated")
    paths, reason = chosen(tmp_path, "manipulation")
    members = ("plain", "plain_siamese", "attention", "attention_siamese")
    assert paths == [(tmp_path / f"runs/ffpp/efficientnet/1/{arm}").as_posix() for arm in members]
    assert "the paper's ensemble, 4 networks of one seed" in reason
    assert "best mean accuracy on the validation part of ffpp, 70.0%" in reason
    assert choose_models("manipulation", tmp_path).text().count("runs/ffpp") == 1


def test_a_task_is_told_by_the_classes(run, tmp_path):
    """EfficientNet is trained on expressions, too, and clips need a network's frames."""
    run("synthetic_clips/fan/0/self_relation", 0.9)
    faces = run("synthetic_apex/efficientnet/0/plain", 0.5)
    assert chosen(tmp_path) == ([faces], "the only one for expression")
    with pytest.raises(UserError, match="no model for manipulation in"):
        choose_models("manipulation", tmp_path)
