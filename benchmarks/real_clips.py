"""How well does the ensemble, trained on synthetic forgeries, tell ten real clips apart?

The clips are those that come with the code of arXiv:2004.07676: four real, six manipulated; their terms
forbid passing them on. The folder that FER_REPRO_REAL_DATA names has them in ``deepfake``. Needs runs of
``make reproduce``.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import ROOT, Settings, Table
from fer_repro.errors import UserError
from fer_repro.inference.manipulation import FRAMES, detect_manipulation
from fer_repro.measures.detection import auc_shares
from fer_repro.measures.variance_components import half_width, spread
from fer_repro.methods.method import load_method
from fer_repro.params import read_params

FOLDER = "deepfake"
REAL = ("original_sequences", "lynaeydofd")  # in the path of a real clip


def measure(settings: Settings) -> Table:
    """Score the clips by the networks of every seed."""
    home = os.environ.get("FER_REPRO_REAL_DATA")
    clips = sorted(Path(home, FOLDER).rglob("*.mp4")) if home else []
    if not clips:
        raise UserError(f"FER_REPRO_REAL_DATA names no folder with clips in {FOLDER}")
    manipulated = np.array([not any(word in str(clip) for word in REAL) for clip in clips])
    seeds = read_params(ROOT / "params.yaml").seeds[: 1 if settings.quick else None]
    runs = ROOT / "runs/synthetic_forgeries/efficientnet"
    arms = sorted(load_method("efficientnet").ensemble)
    networks = [runs / str(seed) / arm for seed in seeds for arm in arms]
    logits = np.stack([_logits(clip, networks) for clip in clips], axis=1).reshape(len(seeds), len(arms), -1)
    scores = {f"ensemble of {len(arms)}": logits.mean(axis=1)}  # (S, C)
    scores |= {arm: logits[:, position] for position, arm in enumerate(arms)}
    counts = f"{int(manipulated.sum())} manipulated and {int((~manipulated).sum())} real ones"
    return Table(
        "Ten real clips",
        f"Area under the ROC curve of whole clips, in percent: {counts}, {FRAMES} frames each. Networks of "
        f"the default reproduction, trained on synthetic forgeries alone, {len(seeds)} seeds. The interval "
        "joins seeds and clips; 50 is guessing.",
        ("network", "area, %", "95 % interval", "lowest seed", "highest seed"),
        [_row(name, values, manipulated) for name, values in scores.items()],
    )


def _logits(clip: Path, networks: Sequence[Path]) -> np.ndarray:
    """The mean logit of each network over the frames of a clip, (M,)."""
    frames = detect_manipulation(str(clip), networks).frames
    return frames.filter(regex="^logit ").to_numpy().mean(axis=0)


def _row(name: str, scores: np.ndarray, manipulated: np.ndarray) -> list[str]:
    areas, shares = auc_shares(scores, manipulated)
    found = spread(areas, shares)
    half = half_width(found, 0.95)
    low, high = max(0.0, found.value - half), min(1.0, found.value + half)
    numbers = (found.value, areas.min(), areas.max())
    mean, lowest, highest = (f"{100 * number:.1f}" for number in numbers)
    return [name, mean, f"{100 * low:.0f} to {100 * high:.0f}", lowest, highest]
