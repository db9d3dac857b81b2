"""ImageNet start weights: fetched once, or one clear error."""

import hashlib
from urllib.error import URLError

import pytest
import torch
from torchvision.models import ResNet18_Weights

from fer_repro.errors import UserError
from fer_repro.layers.pretrained import imagenet_weights

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
