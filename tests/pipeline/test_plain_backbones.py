"""Plain backbones of RMN's tables go the same road as its own arms."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fer_repro.datasets.store import write_store
from fer_repro.pipeline.run import train_run

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(autouse=True)
def restored_determinism():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_they_train_and_predict(tmp_path):
    labels = np.arange(28) % 7
    images = np.full((28, 48, 48), 25, np.uint8) * (1 + labels[:, None, None]).astype(np.uint8)
    splits = np.repeat(["train", "val", "test"], [14, 7, 7])
    samples = pd.DataFrame({"image": range(28), "label": labels, "subject": "", "clip": "", "split": splits})
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    write_store(tmp_path / "prepared" / "synthetic", "synthetic", classes, images, samples, {})
    arms = ("cbam_resnet34", "vgg19")
    roots = {f"{root}_root": tmp_path / root for root in ("out", "ckpt", "timings", "prepared")}
    train_run(PARAMS, "rmn", "synthetic", 0, **roots, smoke=True, arms=arms)
    for arm in arms:
        folder = tmp_path / "out" / "synthetic" / "rmn" / "0" / arm
        table = pd.read_csv(folder / "predictions.csv")
        assert len(table) == 7 * 2  # as it is, and with one augmented copy
        assert (folder / "weights.safetensors").is_file()
        assert not (folder / "explained.npz").exists()
