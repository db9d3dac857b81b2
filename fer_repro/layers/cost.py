"""What a network costs: its parameters and its operations."""

from torch import Tensor, nn, no_grad
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module, trainable: bool = False) -> int:
    """Count the distinct parameters of ``module``; a tensor registered twice counts once.

    Args:
        module: any module, on the meta device too.
        trainable: count only those that require a gradient.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def count_flops(module: nn.Module, *inputs: Tensor) -> int:
    """Count the operations of one evaluation-mode forward pass, two per multiply-add.

    Convolutions and matrix products are counted, as usual; normalisations and activations are not. Module and
    inputs may live on the meta device, where nothing is computed.

    Returns:
        Operations for the whole batch: pass a batch of one for the cost per image.
    """
    training = module.training
    module.eval()
    with FlopCounterMode(display=False) as counter, no_grad():
        module(*inputs)
    module.train(training)
    return int(counter.get_total_flops())
