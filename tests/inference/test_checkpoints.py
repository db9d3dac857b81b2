"""Checkpoints of the papers' own code: told apart, read strictly, never executed."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import fer_repro
from fer_repro.cli import app
from fer_repro.errors import UserError
from fer_repro.inference.checkpoints import import_official, open_official, read_official, recognise, variants
from fer_repro.methods.method import load_official

GOLDENS = Path(__file__).parents[1] / "goldens"


def shapes_of(golden):
    described = json.loads((GOLDENS / f"{golden}.json").read_text())
    return described["official"], {key: tuple(shape) for key, shape in described["state_dict"]}


def filled(shapes):
    """Random tensors under official keys; variances are positive."""
    draws = torch.Generator().manual_seed(0)
    return {
        key: torch.tensor(1)
        if key.endswith("tracked")
        else torch.rand(shape, generator=draws) * 0.1 + (0.5 if "var" in key else -0.05)
        for key, shape in shapes.items()
    }


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, zipped):
    proof, trap = tmp_path / "executed", tmp_path / "trap.pth"
    torch.save(
        {"net": {"conv1.weight": torch.zeros(1)}, "config": Trap(proof)},
        trap,
        _use_new_zipfile_serialization=zipped,
    )
    assert zipfile.is_zipfile(trap) == zipped
    with pytest.raises(
        UserError, match=r"trap.pth: refused: it asks for .*system.*Nothing in it was executed"
    ):
        fer_repro.load(trap)
    with pytest.raises(UserError, match="refused"):
        import_official(trap, tmp_path / "model.safetensors")
    assert not proof.exists()
    assert not (tmp_path / "model.safetensors").exists()
    if not zipped:
        return
    with zipfile.ZipFile(trap) as archive:  # the trap works: an unguarded reader falls into it
        torch.load(trap, weights_only=False)
        assert archive
    assert proof.exists()


def test_a_plain_pickle_with_a_trap_is_refused(tmp_path):
    proof, trap = tmp_path / "executed", tmp_path / "trap.pkl"
    trap.write_bytes(pickle.dumps(Trap(proof)))
    with pytest.raises(UserError, match=r"trap\.pkl"):
        read_official(trap)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("golden", "identifier", "classes", "first", "regions"),
    [
        ("fan_resnet18_self_relation", "basic_code/networks.py resnet18_at", 7, "happy", 0),
        ("ran_resnet18_6regions", "FERplus_dir/attention_rank_loss.py resnet18", 8, "neutral", 6),
        ("efficientnet_b4_att", "architectures.fornet.EfficientNetAutoAttB4", 2, "real", 0),
    ],
)
def test_an_official_checkpoint_becomes_a_model_with_a_card(
    tmp_path, golden, identifier, classes, first, regions
):
    official, shapes = shapes_of(golden)
    state, path = filled(shapes), tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    done = import_official(path, tmp_path / "imported.safetensors")
    model = fer_repro.load(tmp_path / "imported.safetensors", device="cpu")
    assert model.spec.official.identifier == identifier
    assert (len(model.spec.classes), model.spec.classes[0]) == (classes, first)
    assert len(model.spec.regions) == regions
    header = yaml.safe_load(done.card.read_text().split("---")[1])
    assert header["licences"]["weights"].startswith("unknown: the authors' code is ")
    assert "code is unknown" not in header["licences"]["weights"]  # papers.yaml names it
    assert header["model"]["weights_sha256"] == model.spec.weights_sha256
    assert done.facts["sha256"] in model.spec.source
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    given = {}
    keep = model.backend.network.network.register_forward_pre_hook(
        lambda _network, inputs: given.update(inputs=inputs[0])
    )
    table = model.predict(image, detector="none")
    keep.remove()
    network, standardise = load_official(official, state), first == "real"
    if "inputs" in given:  # RAN's network is asked for its weights, too, not called
        assert torch.allclose(given["inputs"], inputs_of(image, model.spec.shows, standardise), atol=1e-6)
    expected = shown(network, image, model.spec.shows, standardise)
    found = table[[f"p_{name}" for name in model.spec.classes]].to_numpy()[0]
    assert np.abs(found - expected).max() < 1e-5


def inputs_of(image, shows, standardise):
    """Make by hand what an official network is shown."""
    images = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    if standardise:
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        images = (images - mean[:, None, None]) / deviation[:, None, None]
    if shows == "regions":
        boxes = [
            (0, 0, 168, 168),
            (56, 0, 224, 168),
            (28, 56, 196, 224),
            (11, 11, 212, 212),
            (16, 16, 207, 207),
        ]
        crops = [images[:, :, top:bottom, left:right] for left, top, right, bottom in boxes]
        crops = [torch.nn.functional.interpolate(crop, size=(224, 224), mode="bilinear") for crop in crops]
        images = torch.stack([*crops, images], dim=1)
    if shows == "frames":
        images = images[:, None]
    return images


def shown(network, image, shows, standardise):
    """Show an image to an official network by hand."""
    with torch.no_grad():
        output = network(inputs_of(image, shows, standardise))
    logits = getattr(output, "logits", output)[0].double()
    if len(logits) == 1:
        score = logits.sigmoid().item()
        return np.array([1 - score, score])
    return logits.softmax(dim=0).numpy()


def test_the_heads_of_rmn_are_told_by_their_keys():
    def state(**tensors):
        whole = {"mask1.conv1.conv1.weight": torch.zeros(1)}
        return whole | {key.replace("__", "."): torch.zeros(size, 1) for key, size in tensors.items()}

    heads = {
        "resmasking": state(fc__weight=7),
        "resmasking_dropout1": state(fc__1__weight=7),
        "resmasking_dropout2": state(fc__0__weight=128, fc__3__weight=7),
        "resmasking_dropout3": state(fc__0__weight=512, fc__3__weight=128, fc__6__weight=7),
        "resmasking_dropout4": state(fc__0__weight=128, fc__3__weight=128, fc__6__weight=7),
        "resmasking50_dropout1": state(fc__1__weight=7, layer1__0__conv3__weight=1),
    }
    for name, tensors in heads.items():
        assert recognise(tensors, "", "file") == ("rmn", f"models.resmasking.{name}", {})
    control = "resmasking_naive_dropout1"
    assert recognise(heads["resmasking_dropout1"], control, "file")[1] == f"models.resmasking_naive.{control}"


def test_the_head_of_fan_is_chosen(tmp_path):
    official, shapes = shapes_of("fan_resnet18_self_relation")
    state = filled(shapes)
    torch.save(state, tmp_path / "fan.pth")
    model = fer_repro.load(tmp_path / "fan.pth", device="cpu", variant="self-attention")
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    found = model.predict(images, detector="none").filter(regex="^p_").to_numpy()[0]
    network = load_official({**official, "constructor": {"at_type": "self-attention"}}, state)
    with torch.no_grad():
        frames = torch.from_numpy(images).permute(0, 3, 1, 2)[None].float() / 255
        expected = network(frames).logits[0].softmax(dim=0).numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - expected.mean()).max() > 1e-3  # the head says something


@pytest.mark.slow
def test_the_rmn_checkpoint_with_its_aliases_and_records(tmp_path):
    official, shapes = shapes_of("rmn_resmasking_dropout1")
    state = filled(shapes)
    aliases = json.loads((GOLDENS / "rmn_resmasking_dropout1.json").read_text())["aliases"]
    for overwritten, effective in aliases:
        state[overwritten] = state[effective]
    path = tmp_path / "resmasking_dropout1_rot30_2019Nov17_14.33"
    torch.save({"net": state, "best_val_acc": np.float64(73.1), "arch": "resmasking_dropout1"}, path)
    done = import_official(path, tmp_path / "rmn.safetensors")
    assert done.tensors == 740 - 120  # every shortcut stands there twice
    model = fer_repro.load(tmp_path / "rmn.safetensors", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (224, 224), np.uint8)
    found = model.predict(image, detector="none").filter(regex="^p_").to_numpy()[0]
    expected = shown(load_official(official, state), np.stack([image] * 3, axis=2), "images", False)
    assert np.abs(found - expected).max() < 1e-5


def test_numpy_numbers_beside_the_network_are_read(tmp_path):
    path = tmp_path / "a"
    torch.save({"net": {"a": torch.ones(2)}, "best_acc": np.float64(0.7), "losses": [np.float32(1)]}, path)
    assert read_official(path)["a"].tolist() == [1, 1]


def test_keys_that_do_not_fit_are_counted_and_named(tmp_path):
    _, shapes = shapes_of("ran_resnet18_6regions")
    state = filled(shapes)
    del state["alpha.0.bias"], state["bn1.weight"]
    state["fc.weight"] = torch.zeros(9, 1024)
    state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "ran.pth")
    with pytest.raises(UserError) as error:
        open_official(tmp_path / "ran.pth")
    for message in (
        "2 missing: bn1.weight, alpha.0.bias",
        "1 unexpected: extra",
        "1 reshaped or mistyped: fc.weight",
    ):
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, "no known network has the keys a"),
        ({"epoch": 1}, "expected a state dict of tensors"),
        ([1, 2], "expected a state dict of tensors"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message):
        open_official(tmp_path / "a.pth")


def test_damaged_files_and_unknown_variants_are_refused(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02nothing")
    with pytest.raises(UserError, match=r"a.pth"):
        open_official(tmp_path / "a.pth")
    with pytest.raises(UserError, match="no such file"):
        open_official(tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"did you mean 'resmasking_dropout[1-4]'"):
        recognise({}, "resmasking_dropout", "file")
    assert set(variants().values()) == {"rmn", "fan", "ran", "efficientnet", "maxout", "engagement"}


def test_names_of_classes_may_be_others(tmp_path):
    _, shapes = shapes_of("fan_resnet18_self_relation")
    torch.save(filled(shapes), tmp_path / "fan.pth")
    names = ("happy", "angry", "disgust", "fear", "sad", "contempt", "surprise")
    import_official(tmp_path / "fan.pth", tmp_path / "fan.safetensors", classes=names)
    assert fer_repro.load(tmp_path / "fan.safetensors").spec.classes == names
    with pytest.raises(UserError, match="names 2 classes"):
        import_official(tmp_path / "fan.pth", tmp_path / "b.safetensors", classes=("a", "b"))


@pytest.mark.parametrize(
    "golden", ["fan_resnet18_self_relation", "ran_resnet18_6regions", "efficientnet_b4_att"]
)
def test_a_checkpoint_older_than_counted_batches_is_imported(tmp_path, golden):
    """Before torch 0.4.1 batch norms kept no num_batches_tracked; answers do not depend on it."""
    state = filled(shapes_of(golden)[1])
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    missing = len(state) - len(old)
    assert missing > 0
    new_spec = open_official(saved(tmp_path / "new.pth", state))[1]
    old_state, old_spec = open_official(saved(tmp_path / "old.pth", old))
    new_state = open_official(tmp_path / "new.pth")[0]
    assert list(old_state) == list(new_state)
    assert old_spec.official == new_spec.official
    for name, tensor in new_state.items():
        assert name.endswith("num_batches_tracked") or torch.equal(old_state[name], tensor)
    done = CliRunner().invoke(
        app, ["import", str(tmp_path / "old.pth"), "--to", str(tmp_path / "a.safetensors")]
    )
    assert done.exit_code == 0
    assert f"filled in: {missing} x num_batches_tracked, unknown before torch 0.4.1" in done.stdout
    some = {**old, next(name for name in state if name.endswith("num_batches_tracked")): torch.tensor(3)}
    with pytest.raises(UserError, match=f"{missing - 1} missing"):
        open_official(saved(tmp_path / "some.pth", some))


def saved(path, state):
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    "content", [b"", b"a letter\n" * 20, b"\x89PNG\r\n\x1a\n" + bytes(60), pickle.dumps([1, {2}])]
)
def test_a_file_of_another_kind_is_told_in_our_words(tmp_path, content):
    path = tmp_path / "letter.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged, or no file that torch") as message:
        import_official(path, tmp_path / "model.safetensors")
    assert "PyTorch 2.6" not in str(message.value)
