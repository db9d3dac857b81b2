"""ImageNet start weights: fetched once, or one clear error."""

import hashlib
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights

from fer_repro.errors import UserError
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.pretrained import imagenet_weights, load_face_trunk, load_start

NAME = ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def answer(monkeypatch, result):
    def get_state_dict(self, **options):
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get_state_dict)


@pytest.mark.parametrize("error", [URLError("no route\nto host"), OSError("read-only"), RuntimeError("hash")])
def test_weights_that_cannot_be_fetched_say_where_to_put_the_file(cache, monkeypatch, error):
    answer(monkeypatch, error)
    with pytest.raises(UserError) as caught:
        imagenet_weights("resnet18")
    message = str(caught.value)
    assert f"at {cache / NAME}" in message
    assert ResNet18_Weights.IMAGENET1K_V1.url in message
    assert "\n" not in message


def test_the_classifier_is_left_out(cache, monkeypatch):
    answer(monkeypatch, {"conv1.weight": torch.ones(1), "fc.weight": torch.ones(1), "fc.bias": torch.ones(1)})
    assert list(imagenet_weights("resnet18")) == ["conv1.weight"]


def test_a_damaged_file_in_the_cache_is_refused(cache, monkeypatch):
    answer(monkeypatch, {"conv1.weight": torch.ones(1)})
    (cache / NAME).write_bytes(b"half a file")
    digest = hashlib.sha256(b"half a file").hexdigest()[:8]
    with pytest.raises(UserError, match=f"its SHA-256 begins with {digest}"):
        imagenet_weights("resnet18")


@pytest.fixture
def checkpoint(tmp_path):
    """As the authors' training scripts write it, with the classifier of another task."""
    torch.manual_seed(1)
    trunk = SharedTrunk(2)
    state = {f"module.{key}": value for key, value in trunk.state_dict().items()}
    state |= {"module.fc.weight": torch.ones(9, 16), "module.fc.bias": torch.ones(9)}
    path = tmp_path / "trunk.pth.tar"
    torch.save({"epoch": 3, "state_dict": state, "prec1": torch.tensor(80.0)}, path)
    return path, trunk, state


class Network(SharedTrunk):
    def __init__(self):
        super().__init__(2)
        self.alpha = torch.nn.Sequential(torch.nn.Linear(16, 1), torch.nn.Sigmoid())


def test_the_trunk_is_taken_and_the_heads_stay(checkpoint):
    path, trunk, _ = checkpoint
    network = Network()
    before = network.alpha[0].weight.clone()
    load_face_trunk(network, path)
    for key, value in trunk.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
    assert torch.equal(network.alpha[0].weight, before)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("module.layer3.0.conv1.weight", None, r"1 missing, first layer3\.0\.conv1\.weight"),
        ("module.alpha.0.weight", torch.ones(1, 16), r"1 unexpected, first alpha\.0\.weight"),
        ("module.conv1.weight", torch.ones(2, 1, 7, 7), r"1 of another shape, first conv1\.weight"),
    ],
)
def test_a_trunk_that_is_not_whole_is_refused_untouched(checkpoint, key, value, message):
    path, _, state = checkpoint
    state[key] = value
    torch.save({"state_dict": {k: v for k, v in state.items() if v is not None}}, path)
    network = Network()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(UserError, match=rf"trunk\.pth\.tar: does not fit this trunk: {message}"):
        load_face_trunk(network, path)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


class Payload:
    def __reduce__(self):
        return (print, ("never run",))


def test_bad_files_are_one_error(tmp_path, capsys):
    with pytest.raises(UserError, match="no such file"):
        load_face_trunk(Network(), tmp_path / "none.tar")
    path = tmp_path / "bad.tar"
    for content in (b"", b"not a checkpoint", b"PK\x03\x04cut"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.tar: not readable as a checkpoint"):
            load_face_trunk(Network(), path)
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(UserError, match=r"bad\.tar: not readable as a checkpoint of tensors alone"):
        load_face_trunk(Network(), path)
    assert "never run" not in capsys.readouterr().out
    torch.save({"epoch": 3}, path)
    with pytest.raises(UserError, match="expected a state dict"):
        load_face_trunk(Network(), path)


def test_a_trained_run_gives_its_trunk_and_no_head(tmp_path, checkpoint):
    _, trunk, _ = checkpoint
    state = trunk.state_dict() | {"fc.weight": torch.ones(7, 16), "alpha.0.weight": torch.ones(1, 16)}
    save_file({key: value.half() if value.is_floating_point() else value for key, value in state.items()},
              tmp_path / "model.safetensors")  # fmt: skip
    network = Network()
    head = network.alpha[0].weight.clone()
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    load_start(network, f"{tmp_path}/", digest)
    for key, value in trunk.state_dict().items():
        found = network.state_dict()[key]
        assert found.dtype == value.dtype
        assert torch.allclose(found, value, rtol=1e-3, atol=1e-6), key
    assert torch.equal(network.alpha[0].weight, head)


def test_a_start_that_is_not_the_configured_one_is_refused(tmp_path, checkpoint):
    path, _, state = checkpoint
    network = Network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UserError, match=r"begins with .*, not with 0000: it has changed"):
        load_start(network, str(path), "0000")
    wide = SharedTrunk(4).state_dict()
    save_file(wide, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"does not fit this trunk: .* of another shape"):
        load_start(network, f"{tmp_path}/")
    load_start(network, "none")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    load_start(network, str(path))
    assert torch.equal(network.conv1.weight, state["module.conv1.weight"])
