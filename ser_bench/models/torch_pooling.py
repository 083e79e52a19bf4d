"""What stands behind frames in several networks: pooling over those that are there, and a small head."""

from __future__ import annotations

from typing import Any

_ATTENTION_UNITS = 128


def attentive_statistics(width: int) -> Any:
    """Return a module: frames (n, n_frames, width) and their mask (n, n_frames) -> (n, 2 x width).

    Each frame gets a share by what it holds; the result is the mean and standard deviation under these shares.

    Source: Okabe et al. (2018), "Attentive statistics pooling for deep speaker embedding".
    """
    import torch

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            units = torch.nn.Linear(width, _ATTENTION_UNITS), torch.nn.Tanh(), torch.nn.Linear(_ATTENTION_UNITS, 1)
            self.score = torch.nn.Sequential(*units)

        def forward(self, frames: Any, mask: Any) -> Any:
            share = self.score(frames).masked_fill(mask[:, :, None] == 0, -torch.inf).softmax(1)
            mean = (frames * share).sum(1)
            variance = ((frames - mean[:, None]).square() * share).sum(1)
            return torch.cat([mean, variance.clamp_min(1e-5).sqrt()], 1)

    return Attention()


def mean_over_time() -> Any:
    """Return a module: frames (n, n_frames, width) and their mask (n, n_frames) -> their means (n, width)."""
    import torch

    class Mean(torch.nn.Module):
        def forward(self, frames: Any, mask: Any) -> Any:
            there = mask[:, :, None].to(frames.dtype)
            return (frames * there).sum(1) / there.sum(1)

    return Mean()


def head(width: int, n_outputs: int, hidden: int, dropout: float) -> Any:
    """Return a module: (n, width) -> logits (n, n_outputs), with a hidden layer unless ``hidden`` is 0."""
    from torch import nn

    if not hidden:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, n_outputs))
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_outputs))
