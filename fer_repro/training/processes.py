"""One run on several processes: who takes which items, and sums and rows of all of them.

``torchrun`` and Slurm start the processes; Lightning Fabric reads their settings and averages the gradients.
Each batch is the one that a single process would see: every process takes its share of it. Batch norm counts
the whole batch (``layers/synced_norm.py``, or PyTorch's own on cuda); dropout draws in each process by
itself; a loss over pairs or triplets of a batch sees those of a process's own share.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fer_repro.config import RunConfig
from fer_repro.layers.synced_norm import synced
from fer_repro.loading.views import BatchIndex
from fer_repro.training.seeding import choose_device, choose_precision

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def make_fabric(config: RunConfig) -> "Fabric":
    """Start Lightning Fabric on one device, or on those that torchrun or Slurm gave this run.

    Fabric is imported here, because that takes about three seconds.

    Args:
        config: its device and precision.

    Raises:
        UserError: cuda is asked for and absent.
    """
    device, precision = choose_device(config.runtime), choose_precision(config)
    from lightning.fabric import Fabric

    per_node, nodes = launched()
    if per_node * nodes == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    fabric = Fabric(
        accelerator=device, devices=per_node, num_nodes=nodes, strategy="ddp", precision=precision
    )
    fabric.launch()
    return fabric


def launched() -> tuple[int, int]:
    """Read how many processes per machine, and machines, torchrun or Slurm started; (1, 1) for one alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    if "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        nodes = int(os.environ["SLURM_NNODES"])
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return 1, 1


def prepare_norms(network: nn.Module, fabric: "Fabric") -> nn.Module:
    """Let batch norm count the whole batch where several processes share it."""
    if fabric.world_size == 1:
        return network
    if fabric.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return converted
    return synced(network)


def share(items: BatchIndex, fabric: "Fabric") -> BatchIndex:
    """Take this process's part of a batch: every ``world_size``-th item from its rank on."""
    if fabric.world_size == 1:
        return items
    return items.take(slice(fabric.global_rank, None, fabric.world_size))


def total(tensor: Tensor, fabric: "Fabric") -> Tensor:
    """Sum a tensor over all processes; it is not changed."""
    if fabric.world_size == 1:
        return tensor
    summed = tensor.clone()
    dist.all_reduce(summed)
    return summed


def rows_of_all(batches: Sequence[Tensor], fabric: "Fabric") -> Tensor:
    """Put the rows of all processes' shares back into the order of the items.

    Args:
        batches: for each batch, in order, this process's rows (n, ...); none may be missing anywhere.
        fabric: of the run.

    Returns:
        (N, ...) on the CPU, the same in every process, each item once.
    """
    if fabric.world_size == 1:
        return torch.cat(list(batches)).cpu()
    parts = gathered([batch.cpu().numpy() for batch in batches], fabric)
    merged = []
    for shares in zip(*parts, strict=True):
        whole = np.empty((sum(map(len, shares)), *shares[0].shape[1:]), shares[0].dtype)
        for rank, rows in enumerate(shares):
            whole[rank :: fabric.world_size] = rows
        merged.append(whole)
    return torch.from_numpy(np.concatenate(merged))


def gathered(value: Any, fabric: "Fabric") -> list[Any]:  # noqa: ANN401 - any object that pickles
    """Collect an object of each process, in the order of their ranks; every process gets all."""
    if fabric.world_size == 1:
        return [value]
    found: list[Any] = [None] * fabric.world_size
    dist.all_gather_object(found, value)
    return found


def agreed(value: bool, fabric: "Fabric") -> bool:
    """Let all processes do what the first one decides."""
    return value if fabric.world_size == 1 else bool(fabric.broadcast(value))
