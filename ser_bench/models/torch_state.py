"""Where the training of a network stands: steps, averaged and best weights, and checkpoints that survive a kill."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

from ser_bench.errors import DataError
from ser_bench.models.tensor_files import read_tensors, write_tensors
from ser_bench.models.torch_settings import Training

CHECKPOINT_S = 5.0
"""Least time between two checkpoints."""

CHECKPOINT_SHARE = 0.05
"""Largest share of a fit's time that checkpoints of large networks may take."""

_FILE = "training.safetensors"
_PLAIN = ("epoch", "steps", "seconds", "curve", "best_epoch", "best_score")


class TrainingState:
    """Where a training stands: the weights, the optimiser, the curve, and the best epoch so far."""

    def __init__(self, network: Any, training: Training) -> None:
        self.network, self.training = network, training
        self.averaged = copy.deepcopy(network).requires_grad_(False) if training.averaging is not None else None
        self.optimiser = training.optimiser(network)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.epoch, self.steps, self.seconds = 0, 0, 0.0
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_epoch, self.best_score = 0, -2.0
        self._next_save, self._saved_epoch = time.monotonic() + CHECKPOINT_S, 0

    @property
    def out_of_time(self) -> bool:
        """Whether the budget of seconds is used up."""
        return self.epoch > 0 and self.training.seconds is not None and self.seconds >= self.training.seconds

    @property
    def stopped(self) -> bool:
        """Whether patience or the budget is used up."""
        patience = self.training.patience
        waited = self.best is not None and patience is not None and self.epoch - self.best_epoch >= patience
        return waited or self.out_of_time

    def step(self, loss: Any, done: float) -> None:
        """Take one optimiser step down ``loss``, with a share ``done`` of the epoch behind it."""
        import torch

        settings = self.training
        if settings.schedule is not None:
            epochs = self.epoch + (done if settings.schedule_per == "step" else 0.0)
            factor = settings.schedule(epochs / (settings.schedule_epochs or settings.epochs))
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        self.optimiser.zero_grad()
        loss.backward()
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimiser.step()
        self.steps += 1
        if self.averaged is not None and settings.averaging is not None:
            self._average(self.averaged, 1 - min(settings.averaging, (1 + self.steps) / (10 + self.steps)))

    def _average(self, averaged: Any, weight: float) -> None:
        import torch

        with torch.no_grad():
            new = self.network.state_dict()
            for name, mean in averaged.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(new[name], weight)
                else:
                    mean.copy_(new[name])

    def end_epoch(self, entry: dict[str, Any], judged: Any, seconds: float) -> None:
        """Note an epoch, and its weights where no earlier one was as good on dev."""
        self.epoch, self.seconds = entry["epoch"], self.seconds + seconds
        self.curve.append(entry)
        score = entry.get("dev_uar", entry.get("dev_ccc"))
        if score is not None and score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best = {name: tensor.clone() for name, tensor in judged.state_dict().items()}

    def save(self, folder: Path | None, *, last: bool = False) -> None:
        """Write a checkpoint, now and then; the last one only where there are others: what was quick can be redone."""
        started = time.monotonic()
        due = 0 < self._saved_epoch < self.epoch if last else started >= self._next_save
        if folder is None or not due:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        averaged = {} if self.averaged is None else self.averaged.state_dict()
        tensors |= {f"averaged.{name}": tensor for name, tensor in averaged.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in (self.best or {}).items()}
        numbers: dict[str, dict[str, Any]] = {}
        for index, values in self.optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if hasattr(value, "numel"):
                    tensors[f"optimiser.{index}.{name}"] = value
                else:
                    numbers.setdefault(str(index), {})[name] = value
        plain = {name: getattr(self, name) for name in _PLAIN}
        write_tensors(folder / _FILE, tensors, {"of": self.training.epochs, "optimiser": numbers, "plain": plain})
        now = time.monotonic()
        self._next_save, self._saved_epoch = now + max(CHECKPOINT_S, (now - started) / CHECKPOINT_SHARE), self.epoch

    def resume(self, folder: Path | None) -> None:
        """Go back to the checkpoint in ``folder``, where there is one of as many epochs."""
        if folder is None or not (folder / _FILE).is_file():
            return
        try:
            tensors, note = read_tensors(folder / _FILE)
        except DataError:  # it can be made again
            return
        if note["of"] != self.training.epochs:
            return
        optimiser: dict[int, dict[str, Any]] = {int(index): values for index, values in note["optimiser"].items()}
        parts: dict[str, dict[str, Any]] = {"network": {}, "averaged": {}, "best": {}}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "optimiser":
                index, _, name = name.partition(".")
                optimiser.setdefault(int(index), {})[name] = tensor
            else:
                parts[kind][name] = tensor
        self.network.load_state_dict(parts["network"])
        if self.averaged is not None:
            self.averaged.load_state_dict(parts["averaged"])
        self.best = parts["best"] or None
        self._restore_optimiser(optimiser)
        for name in _PLAIN:
            setattr(self, name, note["plain"][name])
        self._saved_epoch = self.epoch

    def _restore_optimiser(self, state: dict[int, dict[str, Any]]) -> None:
        import torch

        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for index, values in state.items():
            for name, value in values.items():
                if getattr(value, "shape", None) == parameters[index].shape:  # laid out as it was: else other bits
                    values[name] = torch.empty_like(parameters[index], dtype=value.dtype).copy_(value)
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
