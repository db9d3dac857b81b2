"""On the use of Benford's law to detect GAN-generated images.

Nicolò Bonettini, Paolo Bestagini, Simone Milani, Stefano Tubaro, ICPR 2020, arXiv:2004.07682. Code: [C],
polimi-ispl/icpr-benford-gan.

A camera's image, cut into blocks of 8 x 8 pixels and transformed as JPEG does, has coefficients whose
first digits d follow a generalised Benford's law. What a computer has generated or resampled follows it less
well.

    p(d) = beta log(1 + 1 / (gamma + d^delta)) / log(b - 1),    d = 1 ... b - 1 in base b

For each JPEG quality, base and one of nine places of a block the law is fitted to the shares of the digits,
and three divergences between both, each summed over its two directions, are the features (Kullback-Leibler,
Renyi, Tsallis). A random forest of 100 trees tells both classes apart. It needs no GPU, and few images.

What [C] does that one would not expect, kept here and tested.

- Its order of the coefficients takes ranks for places: it reads (0,1) (0,5) (0,6) (1,6) (1,7) (3,3) (3,4)
  (0,2) (0,4) instead of the nine lowest frequencies. Arm ``zigzag_order`` has those.
- Its logarithms give 1000 in base 10 the first digit 10, which no share counts; ``exact_digits`` corrects it.
- Where no coefficient is other than 0 (a constant image), or the fit fails, the three features are -999.
- Training rows with an infinite feature are left out.

Differences from the paper.

1. Only abstract and code were read: the accuracies, and which feature sets are the four best, are not
   known. The default has 54 features (quality 90, bases 10 and 20); arms ``..._540`` all five qualities
   and four bases.
2. Coefficients: rounded from an orthonormal DCT of the pixels, not read from a JPEG file. At quality 80 and
   90 99 % are libjpeg's own, none is off by more than 1.
3. Images to be judged with an infinite feature get an answer; [C] leaves them out of the test as well.
4. Data: [C] leaves one of 15 groups of generators out, and draws 3 % of the rows with replacement before
   it splits, so that an image can be on both sides. Here people are split, and no image comes twice.
5. The answer is log(max(share of the trees, 1 / (2 trees))): a forest has no logits.
"""

import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from scipy.fft import dctn
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.resnet import Stem
from fer_repro.layers.solved import Forest
from fer_repro.loading.batches import Batch
from fer_repro.methods.method import Method, Solver
from fer_repro.sections import STRICT, PositiveInt

Array = NDArray[np.float64]
Order = Literal["published", "zigzag"]

PLACES: dict[Order, tuple[tuple[int, int], ...]] = {  # row (vertical frequency) and column in a block
    "published": ((0, 1), (0, 5), (0, 6), (1, 6), (1, 7), (3, 3), (3, 4), (0, 2), (0, 4)),
    "zigzag": ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0)),
}
QUALITIES, BASES = (80, 85, 90, 95, 100), (10, 20, 40, 60)  # [C]
FAILED = -999.0  # [C]
ALPHA = 0.3  # of both divergences; [C]
LUMINANCE = np.array(  # ITU-T T.81, Table K.1
    [
        [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)  # fmt: skip
_ARMS = {
    "published_order": "54 features, the coefficients in the order that the authors' code reads",
    "zigzag_order": "54 features of the nine lowest frequencies",
    "nonzero": "control: how many coefficients are not 0 at the published places, without digits and law",
    "network": "a small network that sees the same images",
    "published_order_540": "all qualities and bases, in the published order",
    "zigzag_order_540": "all qualities and bases, of the nine lowest frequencies",
}


@dataclass(frozen=True, config=STRICT)
class BenfordOptions:
    """The ``model`` section of a recipe."""

    qualities: str  # of JPEG, such as "90" or "80 100"; arms ..._540 have all
    bases: str  # of the digits, such as "10 20"; arms ..._540 have all
    exact_digits: bool  # of 1000 in base 10: 1 instead of the code's 10
    trees: PositiveInt  # of the forest
    width: PositiveInt  # of the arm ``network``: channels of stage 1
    stem: Stem  # of that arm: before stage 1


def luma(images: Tensor) -> NDArray[np.uint8]:
    """Compute the luma (N, H, W) of images (N, 3, H, W) in [0, 1], in libjpeg's whole numbers."""
    red, green, blue = np.rint(255 * images.detach().float().cpu().numpy()).astype(np.int64).swapaxes(0, 1)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def coefficients(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.int64]:
    """Quantise the cosine transform of all blocks as JPEG does.

    Args:
        pixels: (N, H, W) luma; sides that are no multiple of 8 repeat the last row or column.
        quality: 50 to 100.

    Returns:
        (N, blocks, 8, 8), blocks row by row, [0, 0] of each its mean.
    """
    table = np.clip((LUMINANCE * (200 - 2 * quality) + 50) // 100, 1, 255)
    count, height, width = pixels.shape
    padded = np.pad(pixels, ((0, 0), (0, -height % 8), (0, -width % 8)), mode="edge") - 128.0
    rows = padded.reshape(count, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8)
    blocks = rows.swapaxes(2, 3).reshape(count, -1, 8, 8)
    return np.rint(dctn(blocks, axes=(2, 3), norm="ortho") / table).astype(np.int64)


def first_digits(values: NDArray[np.int64], base: int, exact: bool = False) -> NDArray[np.int64]:
    """Find the first digit of each value in a base; 0 for 0.

    Args:
        values: any shape; the sign does not matter.
        base: from 3.
        exact: divide whole numbers; otherwise by [C]'s logarithms, which give 1000 in base 10 the digit 10.
    """
    sizes = np.abs(values)
    if exact:
        while (sizes >= base).any():
            sizes = np.where(sizes >= base, sizes // base, sizes)
        return sizes
    positive = np.where(sizes > 0, sizes, 1).astype(np.float64)
    powers = np.floor(np.log(positive) / np.log(base))
    return np.where(sizes > 0, np.floor(positive / base**powers), 0).astype(np.int64)


def digit_shares(blocks: NDArray[np.int64], order: Order, base: int, exact: bool = False) -> Array:
    """Compute the shares of the first digits at nine places of the blocks of each image.

    Args:
        blocks: (N, blocks, 8, 8) quantised coefficients.
        order: which nine places.
        base: b of the digits.
        exact: see ``first_digits``.

    Returns:
        (N, 9, b - 1) shares of the digits 1 ... b - 1 among the coefficients other than 0; NaN where all
        are 0.
    """
    rows, columns = np.array(PLACES[order]).T
    digits = first_digits(blocks[:, :, rows, columns], base, exact).swapaxes(1, 2)  # (N, 9, blocks)
    counts = np.stack([(digits == digit).sum(axis=2) for digit in range(1, base)], axis=2)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(axis=2, keepdims=True))


def law(digits: Array, beta: float, gamma: float, delta: float) -> Array:
    """Evaluate the generalised Benford's law at the digits 1 ... b - 1."""
    logarithm = np.log10(1 + 1 / (gamma + digits**delta)) / np.log10(len(digits))
    return np.asarray(beta * logarithm)  # in this order of steps curve_fit ends on the same bits as [C]


def fit_law(shares: Array) -> Array:
    """Fit beta, gamma and delta to shares (b - 1,) by least squares from 1, 1, 1; NaN where it fails."""
    if not np.isfinite(shares).all():
        return np.full(3, np.nan)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # no covariance is needed
        try:
            found, _ = curve_fit(law, np.arange(1.0, len(shares) + 1), shares, p0=(1.0, 1.0, 1.0))
        except RuntimeError:  # no minimum after as many steps as scipy allows
            return np.full(3, np.nan)
    return np.asarray(found)


def divergences(p: Array, q: Array) -> Array:
    """Compute the three divergences of two densities (D,), each summed over both directions.

    Only places where both are other than 0 count. Kullback-Leibler renormalises what is left, the others do
    not; all logarithms are of base 2.
    """
    both = (p != 0) & (q != 0)
    p, q = p[both], q[both]
    with np.errstate(all="ignore"):
        ours, theirs = p / p.sum(), q / q.sum()
        kullback = ((ours - theirs) * np.log2(ours / theirs)).sum()
        sums = np.array([(p**ALPHA * q ** (1 - ALPHA)).sum(), (q**ALPHA * p ** (1 - ALPHA)).sum()])
        return np.array([kullback, *(f.sum() / (ALPHA - 1) for f in (np.log2(sums), sums - 1))])


@lru_cache(maxsize=2**17)  # arms, seeds and control pairs of one process share most of their images
def _features_of(shares: bytes) -> tuple[float, ...]:
    """Compute the three features of one density, given as the bytes of its float64 numbers."""
    density = np.frombuffer(shares)
    digits = np.arange(1.0, len(density) + 1)
    with np.errstate(all="ignore"):
        found = divergences(density, law(digits, *fit_law(density)))
    return tuple(np.where(np.isnan(found), FAILED, found).tolist())


class BenfordFeatures:
    """Features of images: for each quality, base and place the three divergences from the fitted law.

    Args:
        order: which nine places of a block.
        qualities: of JPEG.
        bases: of the digits.
        exact_digits: see ``first_digits``.
    """

    def __init__(
        self, order: Order, qualities: tuple[int, ...], bases: tuple[int, ...], exact_digits: bool
    ) -> None:
        self.order, self.qualities, self.bases, self.exact = order, qualities, bases, exact_digits

    def __call__(self, images: Tensor) -> Array:
        """Compute the features (N, 27 qualities x bases) of images (N, 3, H, W) in [0, 1]."""
        pixels, parts = luma(images), []
        for quality in self.qualities:
            blocks = coefficients(pixels, quality)
            for base in self.bases:
                shares = digit_shares(blocks, self.order, base, self.exact)  # (N, 9, b - 1)
                rows = [[_features_of(density.tobytes()) for density in places] for places in shares]
                parts.append(np.array(rows).reshape(len(pixels), -1))
        return np.concatenate(parts, axis=1)


class NonzeroShares(BenfordFeatures):
    """The control's features: the share of coefficients other than 0 at each quality and place."""

    def __call__(self, images: Tensor) -> Array:
        """Compute the features (N, 9 qualities) of images (N, 3, H, W) in [0, 1]."""
        (rows, columns), pixels = np.array(PLACES[self.order]).T, luma(images)
        parts = [coefficients(pixels, quality)[:, :, rows, columns] != 0 for quality in self.qualities]
        return np.concatenate([part.mean(axis=1) for part in parts], axis=1)


class BenfordForest(nn.Module):
    """A random forest on features of images.

    Args:
        features: images (N, 3, H, W) -> (N, D).
        classes: K.
        trees: of the forest.
    """

    def __init__(self, features: BenfordFeatures, classes: int, trees: int) -> None:
        super().__init__()
        self.features, self.classes, self.trees = features, classes, trees
        self.forest = Forest()

    def forward(self, images: Tensor) -> Tensor:
        """Give the logarithms (N, K) of the trees' shares; a class without a tree gets half a tree."""
        probabilities = self.forest(torch.from_numpy(self.features(images)))
        return probabilities.clamp_min(0.5 / self.trees).log().to(images)

    def grow(self, batches: Iterable[Batch], seed: int) -> None:
        """Fit the forest to all training images; rows with an infinite feature are left out, as in [C]."""
        parts = [(self.features(batch.inputs[0]), batch.targets.cpu().numpy()) for batch in batches]
        features, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
        usable = np.isfinite(features).all(axis=1)
        self.forest.grow(features[usable], targets[usable], self.classes, self.trees, seed)


class TraceNetwork(SharedTrunk):
    """The rival: a ResNet-18 with a linear classifier, logits (N, K) of images (N, 3, H, W) in [0, 1]."""

    def __init__(self, classes: int, width: int, stem: Stem) -> None:
        super().__init__(width, stem=stem)
        self.fc = nn.Linear(self.features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images."""
        return torch.as_tensor(self.fc(self.embed_images(images)))


def _numbers(text: str, key: str, known: tuple[int, ...]) -> tuple[int, ...]:
    words = text.split()
    numbers = tuple(int(word) for word in words if word.isdecimal() and int(word) in known)
    if not words or len(numbers) < len(words) or len(set(numbers)) < len(numbers):
        raise UserError(f"model.{key} is '{text}': expected some of {' '.join(map(str, known))}, each once")
    return numbers


def _build_model(
    arm: str, options: BenfordOptions, classes: int, pretrained: bool = True
) -> BenfordForest | TraceNetwork:
    METHOD.check_arm(arm)
    qualities = _numbers(options.qualities, "qualities", QUALITIES)
    bases = _numbers(options.bases, "bases", BASES)
    if arm == "network":
        return TraceNetwork(classes, options.width, options.stem)
    if arm.endswith("_540"):
        qualities, bases = QUALITIES, BASES
    order: Order = "zigzag" if arm.startswith("zigzag") else "published"
    kind = NonzeroShares if arm == "nonzero" else BenfordFeatures
    return BenfordForest(kind(order, qualities, bases, options.exact_digits), classes, options.trees)


def _build_loss(options: BenfordOptions, label_smoothing: float = 0.0) -> nn.Module:
    """Build the loss of the arm ``network``; forests need none."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


def _explain(network: nn.Module, images: Tensor) -> dict[str, Tensor] | None:
    """Give shares of digits and fitted law (N, 9, b - 1) at the first quality and base; 0 for NaN."""
    if not isinstance(network, BenfordForest) or isinstance(network.features, NonzeroShares):
        return None
    found = network.features
    blocks = coefficients(luma(images), found.qualities[0])
    shares = digit_shares(blocks, found.order, found.bases[0], found.exact)
    digits = np.arange(1.0, found.bases[0])
    with np.errstate(all="ignore"):
        laws = [[law(digits, *fit_law(density)) for density in places] for places in shares]
    tensors = {"digits": shares, "law": np.array(laws)}
    return {
        name: torch.from_numpy(np.nan_to_num(values, posinf=0, neginf=0)) for name, values in tensors.items()
    }


METHOD = Method(
    name="benford",
    title="On the use of Benford's law to detect GAN-generated images",
    paper="2004.07682",
    task="manipulation",
    inputs="images",
    headline="published_order",
    control="nonzero",
    arms=_ARMS,
    options=BenfordOptions,
    build_model=_build_model,
    build_loss=_build_loss,
    explain=_explain,
    solver=Solver(tuple(arm for arm in _ARMS if arm != "network"), BenfordForest.grow),
    as_stored=True,
)
