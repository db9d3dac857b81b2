"""The ImageNet weights that networks may start from: their names, licences and hashes, for model cards."""

from dataclasses import dataclass
from pathlib import Path

from fer_repro.inference.spec import ModelSpec, file_digest

_IMAGENET = "trained on ImageNet, whose terms allow research and teaching only"
TORCHVISION = f"weights by torchvision, code BSD-3-Clause; {_IMAGENET}"
TIMM = f"weights by timm, Apache-2.0; {_IMAGENET}"
_RESNET = {"rmn": "resnet34-b627a593.pth"}  # all others: ResNet-18
_RESNET18 = "resnet18-f37072fd.pth"


@dataclass(frozen=True)
class StartWeights:
    """What a network started from.

    Attributes:
        name: of the publisher's file.
        licence: of the weights and of the data they were trained on.
        sha256: of the file where it is in the cache; else how it begins, or that nobody has looked.
    """

    name: str
    licence: str
    sha256: str


def start_weights(spec: ModelSpec) -> StartWeights | None:
    """Tell what a network started from; None if from nothing, or if nobody knows."""
    if spec.pretraining != "imagenet":
        return None
    if spec.method == "efficientnet":
        xception = spec.arm == "xception"
        name = "legacy_xception.tf_in1k" if xception else f"tf_efficientnet_{spec.options['trunk']}.aa_in1k"
        return StartWeights(f"timm/{name}", TIMM, _of_hub(f"models--timm--{name}"))
    name = _RESNET.get(spec.method, _RESNET18)
    return StartWeights(name, TORCHVISION, _of_torch(name))


def _of_torch(name: str) -> str:
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    begins = name.rpartition("-")[2].removesuffix(".pth")
    return file_digest(file) if file.is_file() else f"{begins}... (the file is not in the cache)"


def _of_hub(folder: str) -> str:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return "unknown (huggingface-hub is not installed)"
    files = sorted(Path(HF_HUB_CACHE).glob(f"{folder}/snapshots/*/model.safetensors"))
    return file_digest(files[-1]) if files else "unknown (the file is not in the cache)"
