"""params.yaml is read by one strict road."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from fer_repro.config import load_config, method_arms, run_folder
from fer_repro.errors import UserError
from fer_repro.methods.method import load_method
from fer_repro.params import read_params
from fer_repro.recipes import is_path
from fer_repro.sections import read_section
from fer_repro.synthetic.factors import CLASSES

PARAMS = Path(__file__).parent.parent / "params.yaml"
FACES = re.search(r"    methods:\n(    - \w+\n)+", PARAMS.read_text())[0]  # the methods of single faces


@pytest.fixture
def params(tmp_path):
    """A copy of the project's params.yaml that a test may spoil."""
    text = PARAMS.read_text()

    def spoil(old: str, new: str) -> Path:
        assert old in text, f"params.yaml no longer holds {old!r}"
        path = tmp_path / "params.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return spoil


def resolve(path, **changes):
    return load_config(
        path, **{"method": "rmn", "dataset": "synthetic", "arm": "masked", "seed": 0, **changes}
    )


def test_a_start_is_one_of_two_words_or_a_file_whose_digest_is_kept(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"tensors")
    fan = {"method": "fan", "dataset": "synthetic_clips", "arm": "self_relation"}

    def options(start):
        config = resolve(PARAMS, **fan, overrides={"recipe.model.pretraining": start})
        return read_section(load_method("fan").options, config.recipe.model, "model"), config

    found, config = options(str(tmp_path))
    digest = hashlib.sha256(b"tensors").hexdigest()
    assert found.start_sha256 == config.recipe.model["start_sha256"] == digest
    assert f"{str(tmp_path)[1:]} start" in config.recipe.note
    assert load_method("fan").pretraining_name(found) == f"faces ({tmp_path}, SHA-256 {digest[:8]})"
    assert "start_sha256" not in options("none")[1].recipe.model
    with pytest.raises(UserError, match=r"pretraining is 'imagnet': .*did you mean 'imagenet'"):
        options("imagnet")
    with pytest.raises(UserError, match="pretraining is runs/none, and no weights are there"):
        options("runs/none")
    smoke = resolve(PARAMS, **fan, smoke=True, overrides=None)
    assert smoke.recipe.model["pretraining"] == "none"


def test_every_recipe_of_every_method_resolves():
    methods = read_params(PARAMS).methods
    for method in methods:
        for recipe in methods[method].recipes:
            arm = method_arms(PARAMS, method)[0]
            start = methods[method].recipes[recipe].get("model", {}).get("pretraining", "none")
            absent = is_path(start) and not Path(start).exists()
            overrides = {"recipe.model.pretraining": "none"} if absent else {}
            config = resolve(PARAMS, method=method, arm=arm, recipe=recipe, overrides=overrides)
            assert config.recipe_name == recipe


def test_numbers_mean_what_they_look_like(params):
    config = resolve(params("lr: 1e-2", "lr: 1e-3"))
    assert config.recipe.optimiser.lr == 0.001
    assert config.runtime.compile is False


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 6 ", "epoch: 6 ", ["epoch", "did you mean 'epochs'?", "methods.rmn.recipes.synthetic"]),
        ("epochs: 6 ", "epochs: six ", ["recipe", "epochs", "'six'", "integer"]),
        ("epochs: 6 ", "epochs: 6.5 ", ["epochs", "6.5"]),
        ("epochs: 6 ", "epochs: 0 ", ["epochs", "greater than or equal to 1"]),
        ("lr: 1e-2", "lr: yes", ["optimiser.lr", "'yes'", "number"]),
        ("lr: 1e-2", "learning_rate: 3e-3", ["optimiser", "learning_rate"]),
        ("name: adamw", "name: adamax", ["optimiser.name", "'adamax'", "radam"]),
        (FACES, "    methods: [rnn]\n", ["pipeline.faces", "rnn", "did you mean 'rmn'?"]),
        (FACES, "    methods: rmn\n", ["pipeline.faces.methods", "list"]),
        ("  faces:", "  face:", ["pipeline", "face", "did you mean 'faces'?"]),
        ("    - synthetic\n", "    - synthetic\n    - nothing\n", ["faces.datasets", "nothing"]),
        (
            "clips: {datasets: [synthetic_clips]",
            "clips: {datasets: []",
            ["pipeline.datasets", "_clips'", "no task"],
        ),
        ("warmup: 0.2}", "worm: 0.2}", ["schedule", "worm", "'warmup'"]),
        ("name: one_cycle, w", "name: one_cycel, w", ["schedule", "one_cycel"]),
        ("seeds:\n- 0\n- 1\n- 2\n- 3\n- 4\n", "seeds: [0, '1']\n", ["seeds", "'1'"]),
        ("seeds:\n- 0\n- 1\n- 2\n- 3\n- 4\n", "sedes: [0, 1, 2]\n", ["sedes", "did you mean 'seeds'?"]),
        ("seeds:\n- 0\n- 1\n- 2\n- 3\n- 4\n", "seeds: [0, 1\n", ["not readable as YAML", "line"]),
        ("confidence: 0.95", "confidence: 95", ["evaluation", "confidence", "95"]),
        ("compile: false", "compile: no", ["runtime", "compile", "'no'"]),
        ("seeds:\n- 0\n- 1\n- 2\n- 3\n- 4\n", "seeds: [0]\nseeds: [1]\n", ["seeds", "repeats"]),
    ],
)
def test_a_mistake_is_one_clear_error(params, old, new, said):
    path = params(old, new)
    with pytest.raises(UserError) as error:
        resolve(path)
    message = str(error.value)
    assert "params.yaml" in message
    assert "\n" not in message
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "rnm"}, "did you mean 'rmn'?"),
        ({"dataset": "fer2031"}, "did you mean 'fer2013'?"),
        ({"recipe": "papers"}, "did you mean 'paper'?"),
        ({"overrides": {"recipe.epoch": 3}}, "did you mean 'epochs'?"),
        ({"overrides": {"recipe.optimizer.lr": 3}}, "did you mean 'optimiser'?"),
        ({"overrides": {"recipe.epochs": "3"}}, "integer"),
    ],
)
def test_unknown_names_point_to_the_nearest(changes, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        resolve(PARAMS, **changes)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        resolve(tmp_path / "params.yaml")


def test_overrides_and_smoke_take_the_same_road():
    config = resolve(PARAMS, overrides={"recipe.optimiser.lr": 0.5}, smoke=True)
    assert config.recipe.optimiser.lr == 0.5
    assert config.recipe.epochs == 1
    assert config.smoke


METHODS = read_params(PARAMS).methods


@pytest.mark.parametrize(
    ("method", "recipe"),
    [(name, recipe) for name, section in METHODS.items() for recipe in section.recipes],
)
def test_smoke_fits_every_recipe(method, recipe):
    built = load_method(method)
    kinds = 2 if built.task == "manipulation" else 7
    config = load_config(PARAMS, method, "synthetic", built.headline, 0, recipe, smoke=True)
    named = ("real", "manipulated") if kinds == 2 else CLASSES
    options = built.read_options(config.recipe.model, "recipe.model", named)
    assert built.build_model(built.headline, options, kinds) is not None
    assert config.recipe.model.get("pretraining", "none") == "none"


def test_overrides_leave_no_trace():
    resolve(PARAMS, overrides={"recipe.epochs": 99})
    assert resolve(PARAMS).recipe.epochs != 99


def test_json_is_stable_and_complete():
    config = resolve(PARAMS)
    assert config.as_json() == resolve(PARAMS).as_json()
    assert '"lr": 0.01' in config.as_json()


def test_run_folder_is_the_documented_layout():
    assert run_folder("runs", "synthetic", "rmn", 0, "masked").as_posix() == "runs/synthetic/rmn/0/masked"


def test_real_sets_take_the_recipe_for_real_faces():
    for method, dataset, recipe in (
        ("rmn", "fer2013", "fer2013"), ("rmn", "ferplus", "real_faces"), ("ran", "ferplus-plain", "ferplus"),
        ("ran", "folder-office", "real_faces"), ("fan", "afew", "real_faces"),
        ("adacos", "identities", "real_faces"), ("p2sgrad", "lfw", "real_faces"),
        ("efficientnet", "ffpp-c40_10fpv", "real_faces"),
    ):  # fmt: skip
        config = resolve(PARAMS, method=method, dataset=dataset, arm=method_arms(PARAMS, method)[0])
        assert config.recipe_name == recipe


def test_synthetic_sets_never_take_it():
    with pytest.raises(UserError, match=r"methods\.fan\.recipes has no 'synthetic'"):
        resolve(PARAMS, method="fan", arm="self_relation")


def test_limits_are_the_sets_its_adapters_or_the_default():
    assert resolve(PARAMS, dataset="folder-office").data.max_val == 0
    ffpp = resolve(PARAMS, dataset="ffpp-10fpv", method="efficientnet", arm="plain").data
    assert (ffpp.max_val, ffpp.folds, ffpp.select_on) == (6000, 0, "val")
    assert resolve(PARAMS, dataset="ckplus48").data.folds == 10


def test_a_recipe_takes_over_all_it_does_not_say():
    whole, heir = resolve(PARAMS).recipe, resolve(PARAMS, recipe="real_faces").recipe
    assert (heir.epochs, heir.model["width"], heir.model["pretraining"]) == (3, 16, "none")
    assert (heir.optimiser.lr, heir.optimiser.name) == (6e-3, whole.optimiser.name)
    assert heir.augmentation == whole.augmentation


def test_another_kind_of_schedule_replaces_the_whole(params):
    config = resolve(
        params("optimiser: {lr: 6e-3}", "optimiser: {lr: 6e-3}, schedule: {name: constant}"),
        recipe="real_faces",
    )
    assert config.recipe.schedule.name == "constant"


OWN_BASE = "like: synthetic, model: {width: 16, dropout: 0.1}"  # of RMN's recipe for real faces


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (OWN_BASE, OWN_BASE.replace("synthetic", "synthetik"), "did you mean 'synthetic'?"),
        (OWN_BASE, OWN_BASE.replace("synthetic", "real_faces"), "leads back to itself"),
        ("optimiser: {lr: 6e-3}", "optimizer: {lr: 6e-3}", "did you mean 'optimiser'?"),
    ],
)
def test_a_mistake_in_what_is_taken_over(params, old, new, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        resolve(params(old, new), recipe="real_faces")


def test_an_arm_has_its_own_rate(params):
    path = params("rates: {}", "rates: {masked: 0.3}")
    assert resolve(path).recipe.arm_rate == 0.3
    control = resolve(path, arm="no_mask").recipe
    assert (control.arm_rate, control.optimiser.lr) == (0.0, resolve(path).recipe.optimiser.lr)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ("{maskd: 0.3}", "did you mean 'masked'?"),
        ("{masked: -1}", "rates.masked is -1: expected a learning rate above 0"),
        ("{masked: true}", "rates.masked is True: expected a learning rate above 0"),
        ("[masked]", "expected a mapping of arms to learning rates"),
    ],
)
def test_a_mistake_in_rates(params, rates, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        resolve(params("rates: {}", f"rates: {rates}"))


def test_a_head_is_one_of_three_and_none_by_default(params):
    assert resolve(PARAMS).recipe.head == "none"
    assert resolve(params("head: none", "head: pgm")).recipe.head == "pgm"
    with pytest.raises(UserError, match=r"head is 'maxout': .*'none', 'dropout' or 'pgm'"):
        resolve(params("head: none", "head: maxout"))


def test_a_configuration_of_before_there_were_heads_has_none(tmp_path):
    path, values = tmp_path / "config.json", json.loads(resolve(PARAMS).as_json())
    del values["recipe"]["head"]
    path.write_text(json.dumps(values))
    assert resolve(PARAMS).is_in(path)
    assert not resolve(PARAMS, overrides={"recipe.head": "pgm"}).is_in(path)
    for broken in ({}, {"recipe": None}, {"recipe": []}):
        path.write_text(json.dumps(broken))
        assert not resolve(PARAMS).is_in(path)
