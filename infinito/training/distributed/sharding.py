"""Weights, gradients and optimizer state spread over the processes (FSDP2), by Lightning."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from infinito.models.checkpoint_file import read_checked_content
from infinito.training.distributed.launching import MindedLauncher


class ShardedTraining(ModelParallelStrategy):
    """Fully sharded training whose checkpoints are single files with the weights of all processes.

    Args:
        processes: Over which everything is spread.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(processes, 1, save_distributed_checkpoint=False)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = MindedLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes
        )

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        """Load a checkpoint whose checksum is right into the shards."""
        read_checked_content(checkpoint_path, "cpu", mapped=True)
        return super().load_checkpoint(checkpoint_path, weights_only=True)


def shard(model: PreTrainedModel, mesh: DeviceMesh) -> None:
    """Spread the parameters of a model over a mesh, in place, block by block.

    Each process then holds a part of each parameter; a block's are whole while it computes.
    """
    blocks = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Return whether every forward pass of a model needs all processes."""
    return any(isinstance(each, DTensor) for each in model.parameters())


def whole(value: Tensor) -> Tensor:
    """Return a tensor that may be spread over processes as a plain one; all must call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value
