"""Opens the trained model that `checkpoint=` names, where and as a run asks for it."""

from __future__ import annotations

from infinito.config import RunConf
from infinito.device import choose_device
from infinito.models.pretrained.lora import inside_memory
from infinito.models.pretrained.replaced_attention import use_backend
from infinito.models.trained import Trained, open_trained


def open_trained_model(conf: RunConf) -> Trained:
    """The model on the run's device, its attention served by `attention.backend`.

    Raises:
        CheckpointError: It is missing, damaged, of another class, or its sizes do not fit.
        DeviceError: The device is not there.
    """
    device = choose_device(conf)
    trained = open_trained(str(conf.checkpoint)).to(device)
    use_backend(inside_memory(trained.model), conf.attention.backend)
    return trained
