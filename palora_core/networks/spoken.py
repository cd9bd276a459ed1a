"""A small convolutional network on log-mel spectrograms, which it computes from the sound itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.networks.base import MultiTaskNetwork, networks

WINDOW, HOP, BANDS = 256, 128, 40
QUIET = 1e-5  # added to energies: quieter than any recording's noise
UNITS = 64  # of the heads' hidden layers
CHANNELS = (16, 32, 64)


class LogMel(nn.Module):
    """Log energies of ``BANDS`` mel bands, each item around 0 with deviation 1: [B, 1, N] → [B, 1, BANDS, frames].

    Windowed sines and cosines are one convolution with constants, which exports and halves of precision know how to
    run; a Fourier transform in the network would not. Bands are triangles (Stevens, Volkmann, Newman, 1937; the
    constants of HTK).

    Args:
        rate: values a second.
    """

    waves: Tensor
    bands: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        with torch.device("cpu"):  # constants have values where the network is built without memory, too
            waves, bands = _waves(), _bands(rate)
        self.register_buffer("waves", waves, persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms in single precision, whatever the sound's."""
        parts = F.conv1d(x.float(), self.waves.float(), stride=HOP).square()
        energy = parts.unflatten(1, (2, -1)).sum(1)
        logs = (self.bands.float() @ energy + QUIET).log()
        mean, deviation = logs.mean((1, 2), keepdim=True), logs.std((1, 2), keepdim=True)
        return ((logs - mean) / (deviation + QUIET)).unsqueeze(1).to(x.dtype)


def _waves() -> Tensor:
    """[2 · (WINDOW / 2 + 1), 1, WINDOW] under Hann's window: cosines, then sines."""
    frequencies, times = torch.arange(WINDOW // 2 + 1, dtype=torch.float64), torch.arange(WINDOW, dtype=torch.float64)
    angles = 2 * math.pi / WINDOW * frequencies[:, None] * times
    hann = 0.5 - 0.5 * (2 * math.pi / WINDOW * times).cos()
    return (torch.cat([angles.cos(), angles.sin()]) * hann / WINDOW**0.5).float().unsqueeze(1)


def _bands(rate: int) -> Tensor:
    """Weights [BANDS, WINDOW / 2 + 1] of triangles that are evenly spaced in mel, from 60 Hz to half the rate."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    marks = 700 * (10 ** (torch.linspace(mel(60), mel(rate / 2), BANDS + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.arange(WINDOW // 2 + 1, dtype=torch.float64) * rate / WINDOW
    rising = (hertz - marks[:-2, None]) / (marks[1:-1] - marks[:-2])[:, None]
    falling = (marks[2:, None] - hertz) / (marks[2:] - marks[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0).float()


@networks.register("spoken")
def spoken(outputs: Mapping[str, int], rate: int = 8000, shared: int = 64) -> MultiTaskNetwork:
    """Three convolutions on a log-mel spectrogram, averaged over time, then ``shared`` units that all heads read.

    Args:
        outputs: task name → number of classes.
        rate: values of sound a second.
        shared: units at the end of the trunk; with a few the tasks compete for them.
    """
    layers: list[nn.Module] = []
    for before, after in zip((1, *CHANNELS), CHANNELS):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    pooled = nn.AdaptiveAvgPool2d((BANDS // 2 ** len(CHANNELS), 4))
    features = CHANNELS[-1] * (BANDS // 2 ** len(CHANNELS)) * 4
    trunk = nn.Sequential(LogMel(rate), *layers, pooled, nn.Flatten(), nn.Dropout(0.2), nn.Linear(features, shared))
    heads = {
        task: nn.Sequential(nn.Linear(shared, UNITS), nn.ReLU(), nn.Linear(UNITS, classes))
        for task, classes in outputs.items()
    }
    return MultiTaskNetwork(trunk, heads)
