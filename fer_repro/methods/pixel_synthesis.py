"""Pixel-based Facial Expression Synthesis; and Masked Linear Regression for Learning Local Receptive Fields.

Arbish Akram, Nazar Khan, ICPR 2020, arXiv:2010.14397. Nazar Khan, Arbish Akram, Arif Mahmood, Sania Ashraf,
Kashif Murtaza, IJCV 128, 2020, arXiv:2011.09104. Code of the second: [C], arbishakram/masked_regression_code;
of a follow-up, for chosen pixels: [F], arbishakram/LSRF-FES.

A face with another expression is a linear function of the face as it is, and each pixel of it needs only a
few pixels x of the input: those in a window of r x r around its place (masked regression), the one there
(r = 1), or f chosen ones. A few hundred pairs of faces suffice, and the weights have a closed form.

    w_i = (A^T A + lambda I)^-1 A^T t_i,    A = [x in the window of i, 1] of all pairs

What [C] does that one would not expect, kept here and tested.

- Lambda shrinks the bias as well.
- An even r acts like r + 1: the window reaches r // 2 pixels to each side, and is cut off at the border.
- Each image is scaled to 0 ... 1 by its own minimum and maximum, over all channels together; what is saved
  is stretched to 0 ... 255 again, so brightness is lost: errors are measured before.

Differences from the papers.

1. Only abstracts and code were read. Which pixel the ICPR paper observes is not known: windows of 1 x 1 and
   chosen pixels are both here.
2. Chosen pixels are [F]'s orthogonal matching pursuit. Its locality bonus is left out: with one pixel it
   always chooses the same place, which windows of 1 x 1 with shared weights are.
3. The global map, every pixel of the input for each of the output, is solved and kept in its dual form: the
   same weights, from a matrix of the pairs instead of the pixels.
4. Here no image is scaled by its own minimum and maximum: what the wanted image's are is not known where a
   face is synthesised. Errors are in grey levels of 0 ... 255. Unscaled values are smaller, so [C]'s lambda
   of 0.4 shrinks more; arms ``..._weak`` have one that the validation people choose.
5. The controls are ours: the face as it is, and that face plus the mean difference of all pairs.
6. The seed draws ``pairs`` of the training pairs; two seeds share some of them.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.errors import UserError
from fer_repro.layers.solved import Solved
from fer_repro.loading.batches import Batch
from fer_repro.loading.views import Frames
from fer_repro.methods.method import Method, Solver
from fer_repro.sections import STRICT, Positive, PositiveInt

Array = NDArray[np.float64]
_NUMBERS = 2**24  # of the matrices that are solved together
_ARMS = {
    "window_3": "The headline: every pixel observes a window of 3 x 3; the code's own.",
    "window_1": "Every pixel observes the one at its place.",
    "window_5": "Windows of 5 x 5.",
    "window_9": "Windows of 9 x 9.",
    **{f"window_{r}_weak": f"As window_{r}, with a weaker lambda." for r in (1, 3)},
    "chosen": "Every pixel observes chosen ones, wherever they are.",
    "global": "The rival: every pixel observes all of them.",
    "mean_difference": "The control: the face plus the mean difference of all pairs.",
    "copy": "The face as it is.",
}


@dataclass(frozen=True, config=STRICT)
class SynthesisOptions:
    """The ``model`` section of a recipe."""

    pairs: PositiveInt  # to learn from, drawn by the seed; all where there are fewer
    strength: Positive  # lambda, for values in 0 ... 1
    weak: Positive  # lambda of the arms ..._weak
    chosen: PositiveInt  # f, how many pixels each one observes in the arm ``chosen``


class SynthesisOutput(NamedTuple):
    """What the network returns.

    Attributes:
        values: (N,) distance of each synthesised image from the wanted one: the root of the mean squared
            error of its pixels, in grey levels of 0 ... 255.
        images: (N, C, H, W) as synthesised, neither stretched nor limited.
    """

    values: Tensor
    images: Tensor


def scaled(images: Array) -> Array:
    """Scale each of (N, ...) images to 0 ... 1 by its own minimum and maximum; a constant one becomes 0."""
    flat = images.reshape(len(images), -1)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    return np.asarray(((flat - low) / np.where(high > low, high - low, 1)).reshape(images.shape))


def stretched(images: Array) -> NDArray[np.uint8]:
    """Stretch each of (N, ...) images to 0 ... 255, as [C] saves them; brightness and contrast are lost."""
    return np.rint(255 * scaled(images)).astype(np.uint8)


def window_places(size: int, receptive_field: int) -> list[NDArray[np.int64]]:
    """Name for each pixel of a square image, row by row, the pixels in the window around it.

    Args:
        size: side of the image.
        receptive_field: side r of the window; an even one acts like the next odd one.
    """
    half, grid = receptive_field // 2, np.arange(size * size).reshape(size, size)
    return [
        grid[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1].ravel()
        for row in range(size)
        for column in range(size)
    ]


def ridge(inputs: Array, targets: Array, strength: float) -> Array:
    """Solve (A^T A + lambda I) w = A^T t, A the inputs and a column of ones.

    Args:
        inputs: (..., N, K).
        targets: (..., N, O).
        strength: lambda, from 0; on the bias as well.

    Returns:
        (..., K + 1, O), the bias last.

    Raises:
        UserError: without lambda the pairs do not determine the weights.
    """
    ones = np.ones((*inputs.shape[:-1], 1))
    design = np.concatenate([inputs, ones], axis=-1)
    turned = design.swapaxes(-1, -2)
    pairs, unknown = design.shape[-2:]
    try:
        if strength > 0 and unknown > pairs:  # the dual form: a matrix of the pairs
            kernel = design @ turned + strength * np.eye(pairs)
            return np.asarray(turned @ np.linalg.solve(kernel, targets))
        return np.asarray(np.linalg.solve(turned @ design + strength * np.eye(unknown), turned @ targets))
    except np.linalg.LinAlgError:
        raise UserError(
            f"lambda is {strength:g}: {pairs} pairs do not determine {unknown} weights of a pixel; expected "
            "more pairs or a lambda above 0"
        ) from None


def solve_windows(
    inputs: Array, targets: Array, places: list[NDArray[np.int64]], strength: float
) -> tuple[NDArray[np.int32], Array, Array]:
    """Fit each pixel of the output to the input's pixels at some places.

    Args:
        inputs: (N, P) pixels of one channel.
        targets: (N, P) likewise.
        places: for each of the P pixels which it observes.
        strength: lambda.

    Returns:
        Places (P, K) int32, filled up with 0; weights (P, K), 0 there; biases (P,).
    """
    counts = np.array([len(found) for found in places])
    kept = np.zeros((len(places), counts.max()), np.int32)
    weights, biases = np.zeros(kept.shape), np.zeros(len(places))
    for count in np.unique(counts):
        alike = np.flatnonzero(counts == count)
        step = max(1, _NUMBERS // (len(inputs) * int(count)))
        for rows in np.split(alike, range(step, len(alike), step)):
            seen = np.stack([places[row] for row in rows])  # (R, K)
            found = ridge(inputs[:, seen].swapaxes(0, 1), targets.T[rows][..., None], strength)[..., 0]
            kept[rows, :count], weights[rows, :count] = seen, found[:, :-1]
            biases[rows] = found[:, -1]
    return kept, weights, biases


def choose_pixels(
    inputs: Array, targets: Array, count: int, strength: float
) -> tuple[NDArray[np.int32], Array, Array]:
    """Choose for each pixel of the output the input's pixels that it observes, by matching pursuit as in [F].

    In each round the pixel joins whose correlation with what is left, summed over the channels, is largest;
    then the weights of all chosen ones are solved anew. All channels share them.

    Args:
        inputs: (N, C, P).
        targets: (N, C, P).
        count: f, how many pixels each one observes.
        strength: lambda.

    Returns:
        Places (P, f) int32, weights (P, f) and biases (P,).
    """
    centred = inputs - inputs.mean(axis=0)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)  # (N, C, P)
    pixels = targets.shape[2]
    stacked = inputs.reshape(-1, pixels)  # (N C, P)
    wanted = targets.reshape(-1, pixels).T  # (P, N C)
    left, places = targets, np.zeros((pixels, 0), np.int32)
    for _ in range(count):
        shares = np.abs(np.einsum("ncp,nco->op", unit, left))  # (output, input)
        np.put_along_axis(shares, places, -1.0, axis=1)
        places = np.concatenate([places, shares.argmax(axis=1)[:, None].astype(np.int32)], axis=1)
        seen = stacked[:, places].swapaxes(0, 1)  # (P, N C, k)
        found = ridge(seen, wanted[..., None], strength)[..., 0]
        fitted = (seen @ found[:, :-1, None])[..., 0] + found[:, -1:]
        left = (wanted - fitted).T.reshape(targets.shape)
    return places, found[:, :-1], found[:, -1]


class PixelMap(Solved):
    """A linear map of images of which each output pixel observes K pixels of the input.

    ``places`` (P, K) int32, ``weights`` (C, P, K) and ``biases`` (C, P) float64; of maps whose channels share
    their weights C is 1.
    """

    def __init__(self) -> None:
        super().__init__("places", "weights", "biases")

    def solve(self, inputs: Array, targets: Array, receptive_field: int, strength: float) -> None:
        """Fit windows, each channel on its own.

        Args:
            inputs: (N, C, H, H).
            targets: (N, C, H, H), what they are to become.
            receptive_field: side of the windows.
            strength: lambda.
        """
        inputs, targets = _flat(inputs), _flat(targets)
        places = window_places(round(inputs.shape[2] ** 0.5), receptive_field)
        found = [solve_windows(inputs[:, c], targets[:, c], places, strength) for c in range(inputs.shape[1])]
        self.keep(
            places=found[0][0],
            weights=np.stack([w for _, w, _ in found]),
            biases=np.stack([b for _, _, b in found]),
        )

    def choose(self, inputs: Array, targets: Array, count: int, strength: float) -> None:
        """Fit ``count`` chosen pixels, with weights that all channels share; arguments as of ``solve``."""
        places, weights, biases = choose_pixels(_flat(inputs), _flat(targets), count, strength)
        self.keep(places=places, weights=weights[None], biases=biases[None])

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, H); what comes out is not limited to their range."""
        biases, flat = _fitting(self, images, "biases"), images.flatten(2)  # (N, C, P)
        seen = flat[:, :, self.get_parameter("places").long()]  # (N, C, P, K)
        mapped = (seen * self.get_parameter("weights").to(images)).sum(dim=3)
        return (mapped + biases).reshape(images.shape)


class GlobalMap(Solved):
    """The rival: every pixel of the input for each of the output, by (P, P + 1) weights of each channel.

    They are A^T times ``shares``, and kept as these factors: M inputs ``learnt`` and ``shares``, (C, M, P).
    """

    def __init__(self) -> None:
        super().__init__("learnt", "shares")

    def solve(self, inputs: Array, targets: Array, strength: float) -> None:
        """Fit each channel on its own; arguments as of ``PixelMap.solve``, lambda above 0."""
        learnt, targets = (_flat(each).swapaxes(0, 1) for each in (inputs, targets))  # (C, M, P)
        kernel = learnt @ learnt.swapaxes(1, 2) + 1 + strength * np.eye(len(inputs))  # 1: of the bias
        self.keep(learnt=learnt, shares=np.linalg.solve(kernel, targets))

    @property
    def weights(self) -> Tensor:
        """All weights, (C, P, P + 1), the bias last."""
        learnt, shares = self.get_parameter("learnt"), self.get_parameter("shares")
        return torch.einsum("cmo,cmp->cop", shares, F.pad(learnt, (0, 1), value=1.0))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, H); one channel's weights are for all."""
        learnt, shares = _fitting(self, images, "learnt"), self.get_parameter("shares").to(images)
        flat = images.flatten(2).swapaxes(0, 1)  # (C, N, P)
        mapped = (flat @ learnt.swapaxes(1, 2) + 1) @ shares
        return mapped.swapaxes(0, 1).reshape(images.shape)


class MeanDifference(Solved):
    """The control: the input plus the mean difference (C, P) of all pairs."""

    def __init__(self) -> None:
        super().__init__("difference")

    def solve(self, inputs: Array, targets: Array) -> None:
        """Average target less input; arguments as of ``PixelMap.solve``."""
        self.keep(difference=(_flat(targets) - _flat(inputs)).mean(axis=0))

    def forward(self, images: Tensor) -> Tensor:
        """Add the difference to images (N, C, H, H)."""
        difference = _fitting(self, images, "difference")  # (C, P)
        return images + difference.reshape(-1, *images.shape[2:])


def _flat(images: Array) -> Array:
    """Flatten images (N, C, H, H) to (N, C, P); others than squares have no windows here.

    Raises:
        UserError: naming the shape.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise UserError(f"images have the shape {images.shape}: expected (N, C, H, H), squares")
    return images.reshape(*images.shape[:2], -1)


def _fitting(module: Solved, images: Tensor, name: str) -> Tensor:
    """Return one of a map's tensors (..., P) for images (N, C, H, H) of the size that it was fitted to.

    Raises:
        UserError: the map was not fitted, or to another size.
    """
    if not module.is_solved:
        raise UserError("this map has not been fitted: train the arm, or load the weights of a run")
    found, pixels = module.get_parameter(name), images.shape[2] * images.shape[3]
    if found.shape[-1] != pixels:
        raise UserError(f"images of {pixels} pixels: expected {found.shape[-1]}, as the map was fitted to")
    return found.to(images)


class Synthesiser(nn.Module):
    """A map of images beside what they are to become: the first and the last frame of a clip.

    Args:
        arm: which map, see ``_ARMS``.
        options: of the recipe.
    """

    def __init__(self, arm: str, options: SynthesisOptions) -> None:
        super().__init__()
        self.arm, self.options = arm, options
        self.map: PixelMap | GlobalMap | MeanDifference = PixelMap()
        if arm in ("global", "mean_difference", "copy"):
            self.map = GlobalMap() if arm == "global" else MeanDifference()

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> SynthesisOutput:
        """Synthesise from the first of frames (N, T, 3, H, H) in [0, 1], and compare with the last.

        Raises:
            UserError: the map was not fitted, or a clip has fewer frames than others.
        """
        if mask is not None and not mask.all():
            raise UserError("clips differ in their number of frames: expected an image and the wanted one")
        images = self.map(frames[:, 0])
        errors = (images - frames[:, -1]).square().flatten(1).mean(dim=1)
        return SynthesisOutput(255 * errors.sqrt(), images)

    def learn(self, batches: Iterable[Batch], seed: int) -> None:
        """Fit the map to the pairs that the seed draws; channels that are all the same count as one."""
        frames = np.concatenate([batch.inputs[0].cpu().numpy() for batch in batches]).astype(np.float64)
        drawn = np.argsort(hashes(seed, Stream.PAIRS, 0, np.arange(len(frames))), kind="stable")
        frames = frames[np.sort(drawn[: self.options.pairs])]
        if (frames == frames[:, :, :1]).all():
            frames = frames[:, :, :1]
        inputs, targets = frames[:, 0], frames[:, -1]
        strength = self.options.weak if self.arm.endswith("_weak") else self.options.strength
        if isinstance(self.map, GlobalMap):
            self.map.solve(inputs, targets, strength)
        elif isinstance(self.map, MeanDifference):
            self.map.solve(inputs, inputs if self.arm == "copy" else targets)
        elif self.arm == "chosen":
            self.map.choose(inputs, targets, self.options.chosen, strength)
        else:
            self.map.solve(inputs, targets, int(self.arm.split("_")[1]), strength)


class WantedError(nn.Module):
    """The squared error that solutions are judged by; no arm is trained by it."""

    def forward(self, output: SynthesisOutput, targets: Tensor) -> Tensor:
        """Compute it; targets (N,) are 0, the wanted distance."""
        return F.mse_loss(output.values, targets)


def _build_model(arm: str, options: SynthesisOptions, classes: int, pretrained: bool = True) -> Synthesiser:
    METHOD.check_arm(arm)
    return Synthesiser(arm, options)


def _build_loss(options: SynthesisOptions, label_smoothing: float = 0.0) -> nn.Module:
    return WantedError()


METHOD = Method(
    name="pixel_synthesis",
    title="Pixel-based Facial Expression Synthesis",
    paper="2010.14397",
    task="regression",
    inputs="frames",
    headline="window_3",
    control="mean_difference",
    arms=_ARMS,
    options=SynthesisOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    view=lambda options: Frames("paper", 2),
    solver=Solver(tuple(_ARMS), Synthesiser.learn),
    as_stored=True,
)
