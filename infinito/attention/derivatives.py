"""Derivatives beyond a backward: which call needs one, and the error of a backend that has none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import forward_ad

from infinito.errors import ConfigError


def needs_every_derivative() -> bool:
    """Return whether torch.func or forward-mode differentiation surrounds this call.

    An operator that has only a backward raises in `torch.func.grad`, and in forward mode it
    returns a tangent of 0 without a word.
    """
    if torch.compiler.is_compiling():
        return False
    if forward_ad._current_level >= 0:
        return True
    stack = get_interpreter_stack() or ()
    return any(each.key() != TransformType.Vmap for each in stack)


def differentiable_once(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors themselves; a backward through their gradients raises our error.

    For backends made of torch operators whose backward cannot be differentiated.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return tensors
    return tuple(DifferentiatedOnce.apply(each) if each.requires_grad else each for each in tensors)


class DifferentiatedOnce(torch.autograd.Function):
    """The identity, whose gradient must not be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(_: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return RefusedGradient.apply(gradient) if torch.is_grad_enabled() else gradient


class RefusedGradient(torch.autograd.Function):
    """The identity, whose backward raises the error that says what to use."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(_: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(_: Any, __: Tensor) -> Tensor:
        raise second_derivative_error()


def second_derivative_error() -> ConfigError:
    """Return the error for a backward through the gradient of a backend that has none."""
    return ConfigError(
        "a gradient of this attention was differentiated again (create_graph=True), and its "
        "backend has first derivatives only. Use `attention.backend=reference`, which has all."
    )
