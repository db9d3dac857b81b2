"""Detectors of manipulated faces as figures take them: scores per level, attention and features of frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor, nn

from fer_repro.config import run_folder
from fer_repro.datasets.store import Store
from fer_repro.evaluation.forgery_rows import describe_frames, frame_logits
from fer_repro.layers.ensemble import video_logits
from fer_repro.methods.efficientnet import ForgeryDetector, _explain
from fer_repro.runs.folder import Run, by_arm
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.synthetic.factors import TRUTH, read_truth

Level = Literal["frame", "video"]
_STAGES = 7


def network_parts(network: nn.Module) -> dict[str, str]:
    """Name the parts of an EfficientNet detector as its diagram names them: path of a module -> name."""
    backbone = "extractor.backbone"
    parts = {f"{backbone}.conv_stem": "stem", f"{backbone}.bn1": "stem's norm"}
    parts |= {f"{backbone}.blocks.{i}": f"stage {i + 1}" for i in range(_STAGES)}
    parts |= {f"{backbone}.conv_head": "head convolution", f"{backbone}.bn2": "head's norm"}
    known = {path for path, _ in network.named_modules()}
    parts |= {"extractor.attention": "attention"} if "extractor.attention" in known else {}
    return {**parts, "classifier": "classifier"}


def scored_frames(
    runs: Sequence[Run], samples: pd.DataFrame, level: Level = "frame"
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Gather the logits and the ground truth of the test part: arm -> one pair of arrays per seed.

    Args:
        runs: single networks or ensembles.
        samples: the sample table.
        level: frames, or videos with the mean logit of their frames.
    """
    frames = describe_frames(runs[0].predictions.of_split("test"), samples)
    videos, first = torch.from_numpy(frames.videos), np.unique(frames.videos, return_index=True)[1]
    truth = (frames.manipulated if level == "frame" else frames.manipulated[first]).astype(int)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for arm, members in by_arm(runs).items():
        logits = [torch.from_numpy(frame_logits(run.predictions.of_split("test"))) for run in members]
        chosen = logits if level == "frame" else [video_logits(one, videos)[1] for one in logits]
        found[arm] = [(one.numpy(), truth) for one in chosen]
    return found


def probabilities(
    scored: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], arms: Sequence[str], place: int = 0
) -> dict[str, np.ndarray]:
    """Take the sigmoid of one seed's logits: arm -> P(manipulated), (P,).

    Args:
        scored: from ``scored_frames``.
        arms: which; those that were not trained are left out.
        place: of the seed in the order of the runs.
    """
    return {arm: expit(scored[arm][place][0]) for arm in arms if arm in scored}


def kind_bars(intervals: pd.DataFrame, arms: Sequence[str], level: Level = "frame") -> pd.DataFrame:
    """Pick the AUC of each kind of manipulation against all real ones, with its interval over seeds.

    Args:
        intervals: of an ``Evaluation``, in percent.
        arms: which, in this order.
        level: frames or videos.

    Returns:
        ``arm``, ``class`` (the kind), ``value``, ``low``, ``high``, in [0, 1]; empty where kinds are unknown.
    """
    prefix = f"{level}_auc_"
    table = intervals[intervals["metric"].str.startswith(prefix) & intervals["arm"].isin(list(arms))]
    table = table.drop_duplicates(["arm", "metric"], keep="last")  # seeds and samples, where both are known
    order = table["arm"].map({arm: i for i, arm in enumerate(arms)})
    table = table.assign(order=order).sort_values(["metric", "order"], kind="stable")
    bounds = table[["value", "low", "high"]].clip(0, 100) / 100
    names = {"arm": table["arm"], "class": table["metric"].str.removeprefix(prefix)}
    return pd.DataFrame({**names, **bounds}).reset_index(drop=True)


def look_at_frames(folder: Path | str, store: Store, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Run a trained detector on frames again.

    Args:
        folder: of its run.
        store: the data set.
        rows: (N,) of the sample table.

    Returns:
        ``features`` (N, D), and ``attention`` (N, 1, h, w) in (0, 1) where the network has any.
    """
    return look(load_run(folder, store), rows, _features_and_attention)


def _features_and_attention(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    detector: Any = network
    assert isinstance(detector, ForgeryDetector)
    return {"features": detector.features(images), **(_explain(detector, images) or {})}


def true_masks(folder: Path | str, rows: np.ndarray) -> np.ndarray | None:
    """Read which pixels of some faces were manipulated, (N, H, W) bool; None where this is not known.

    Args:
        folder: of the prepared data set.
        rows: (N,) of the sample table.
    """
    if not (Path(folder) / TRUTH).is_file():
        return None
    truth = read_truth(folder)
    places = pd.Index(truth["samples"]).get_indexer(pd.Index(rows))
    return truth["manipulated"][places] if (places >= 0).all() else None


def one_of_each_kind(samples: pd.DataFrame, split: str = "test") -> np.ndarray:
    """Choose the first face of each kind of manipulation, the real one first.

    Where kinds are unknown, the first face of each class.

    Args:
        samples: the sample table.
        split: of it.

    Returns:
        Rows of the table.
    """
    part = samples[samples["split"] == split]
    column = "forgery" if "forgery" in part else "label"
    return part.drop_duplicates(column).sort_values("label", kind="stable").index.to_numpy(np.int64)


def read_triplets(
    root: Path | str, dataset: str, method: str, arms: Sequence[str], seeds: Sequence[int]
) -> pd.DataFrame:
    """Read how the siamese arms learned distances: the columns of triplets.csv after ``arm`` and ``seed``."""
    tables = []
    for arm in arms:
        for seed in seeds:
            path = run_folder(root, dataset, method, seed, arm) / "triplets.csv"
            if path.is_file():
                tables.append(pd.DataFrame({"arm": arm, "seed": seed, **pd.read_csv(path)}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["arm", "seed", "epoch"])
