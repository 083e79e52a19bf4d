"""How a network is trained: the settings of the loop, optimisers and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step; a single row left over joins the last batch.
        optimiser: network -> optimiser.
        schedule: Share of the training done, in [0, 1) -> factor on the optimiser's learning rates; None: constant.
        schedule_per: Whether the factor changes with every ``step`` or ``epoch``.
        schedule_epochs: Epochs that the schedule spreads over; None: ``epochs``.
        patience: Epochs without a better dev UAR after which training stops; None: never.
        seconds: Training ends with the epoch in which it has taken this long; None: no limit. What comes out then
            hangs on the machine's speed, and ``facts["warnings"]`` says so.
        label_smoothing: Share of each target that is spread over all classes.
        class_weights: Whether the loss weighs classes by the inverse of their frequency in training.
        clip_norm: Largest norm of the gradient; None: not clipped.
        averaging: Decay per step of the averaged weights that predict, such as .999 (in the first steps less, so
            that the start is forgotten); None: the last weights predict.
        mixed_precision: Whether steps on CUDA compute in bfloat16, where the device can; never on a CPU.
        channels_last: Whether 4-d inputs and weights lie channels last, which makes 2-D convolutions faster.
    """

    epochs: int
    batch_size: int
    optimiser: Callable[[Any], Any]
    schedule: Callable[[float], float] | None = None
    schedule_per: Literal["step", "epoch"] = "step"
    schedule_epochs: int | None = None
    patience: int | None = None
    seconds: float | None = None
    label_smoothing: float = 0.0
    class_weights: bool = False
    clip_norm: float | None = None
    averaging: float | None = None
    mixed_precision: bool = True
    channels_last: bool = False


def torch_optimiser(name: str, **settings: Any) -> Callable[[Any], Any]:
    """Return what makes an optimiser of ``torch.optim`` for all parameters of a network.

    Args:
        name: Such as ``AdamW``.
        settings: Its arguments, such as ``lr``.
    """

    def make(network: Any) -> Any:
        import torch

        return getattr(torch.optim, name)(network.parameters(), **settings)

    return make


def warm_up_and_cosine(warm_up: float, *, start: float = 0.0, end: float = 0.0) -> Callable[[float], float]:
    """Return a schedule: from ``start`` to 1 in the first ``warm_up`` of the training, then to ``end``, along cosines.

    Source: Smith and Topin (2019), "Super-convergence", with the cosines of Loshchilov and Hutter (2017).
    """

    def factor(done: float) -> float:
        if done < warm_up:
            return start + (1 - start) * (1 - math.cos(math.pi * done / warm_up)) / 2
        return end + (1 - end) * (1 + math.cos(math.pi * min((done - warm_up) / (1 - warm_up), 1.0))) / 2

    return factor
