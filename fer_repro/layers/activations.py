"""How strongly a network's layers respond: the largest and the mean value of their maps, for any network."""

from contextlib import ExitStack

from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating

KINDS = ("max", "mean")


def map_strength(maps: Tensor) -> dict[str, Tensor]:
    """Summarise the rectified maps (N, C, H, W) of a layer: each of ``KINDS`` -> (N,) float64.

    ``max`` is the mean over a layer's maps of the largest value in each, ``mean`` that of their means.
    """
    rectified = maps.detach().double().clamp_min(0)
    return {"max": rectified.amax(dim=(2, 3)).mean(dim=1), "mean": rectified.mean(dim=(1, 2, 3))}


def layer_strengths(network: nn.Module, images: Tensor, *further: Tensor) -> dict[str, Tensor]:
    """Run a network and summarise the last maps that it computes at each size, before the next one.

    Of a ResNet these are the outputs of the stem and of its stages; values below 0 count as 0, as behind a
    ReLU. Maps of parts of an image, such as regions, are averaged over the image.

    Args:
        network: any that computes maps.
        images: (N, ...) as it takes them.
        further: what else it takes.

    Returns:
        ``max 24 x 24``, ``mean 24 x 24`` and so on, from the first layer to the last, (N,) each.

    Raises:
        UserError: it computes no maps, or not for every image the same number.
    """
    last: dict[tuple[int, int], Tensor] = {}

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point():
            size = (output.shape[2], output.shape[3])
            last.pop(size, None)
            last[size] = output

    with evaluating(network), ExitStack() as hooks:
        for part in network.modules():
            hooks.callback(part.register_forward_hook(note).remove)
        network(images, *further)
    if not last or any(len(maps) % len(images) for maps in last.values()):
        raise UserError(
            f"{type(network).__name__} computes no maps of its images: no layer's activation is known"
        )
    return {
        f"{kind} {height} x {width}": values.reshape(len(images), -1).mean(dim=1)
        for (height, width), maps in last.items()
        for kind, values in map_strength(maps).items()
    }
