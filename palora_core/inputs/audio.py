"""Sounds."""

from __future__ import annotations

import io
import math
import wave
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.inputs._handover import Preprocessing
from palora_core.inputs.base import MOST_BYTES, Input, inputs, one_input

FRAMES = 50  # a second, in which the power of a sound is looked at
RISEN = 0.01  # of the power of the loudest one: 20 dB below


@dataclass(frozen=True, eq=False)
class Sound:
    """Values in [−1, 1] as float32 [N], ``rate`` of them a second."""

    values: np.ndarray
    rate: int

    def as_wav(self) -> bytes:
        """The sound as a WAV file of 16 bits."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes((self.values.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
        return buffer.getvalue()


@inputs.register("audio")
@dataclass(frozen=True)
class Audio(Input):
    """A sound of one channel; the network reads [B, 1, length], values in [−1, 1], 0 behind the end.

    Args:
        rate: Values a second.
        length: Values that the network reads.
    """

    rate: int
    length: int

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of uncompressed sound."""
        return ("wav",)

    def read(self, data: bytes) -> Sound:
        """The mean of the channels of a WAV file.

        Raises:
            UserError: too large, not a WAV file of 8, 16, 24 or 32 bits, or without a value.
        """
        if len(data) > MOST_BYTES:
            raise UserError(f"The sound has {len(data) / 2**20:.0f} MB, the limit is {MOST_BYTES // 2**20} MB.")
        try:
            with wave.open(io.BytesIO(data)) as file:
                channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
                raw = file.readframes(file.getnframes())
        except (wave.Error, EOFError, ValueError, RuntimeError):
            raise UserError("This file is no uncompressed WAV file; save it as one, 16 bits.") from None
        if not 1 <= width <= 4 or not 1 <= channels <= 64 or not 1 <= rate <= 1_000_000:
            raise UserError(f"The sound has {8 * width} bits, {channels} channels, {rate} Hz; expected 16 bits.")
        count = len(raw) // (width * channels)
        if not count:
            raise UserError("The sound is empty; record something.")
        values = _values(raw[: count * width * channels], width).reshape(count, channels).mean(1)
        return Sound(values.astype(np.float32), rate)

    def takes(self, shown: Any) -> bool:
        """Whether it is a sound."""
        return isinstance(shown, Sound)

    def to_input(self, shown: Sound) -> Tensor:
        """Its values at the network's rate, [1, 1, length]; of a longer sound its loudest stretch."""
        values = self._resampled(Sound(shown.values[self._begin(shown) :], shown.rate))[: self.length]
        return torch.from_numpy(np.pad(values, (0, self.length - len(values))))[None, None]

    def to_file(self, shown: Sound) -> bytes:
        """A WAV file of 16 bits."""
        return shown.as_wav()

    def preprocessing(self) -> Preprocessing:
        """Rate and length; a spectrogram, where there is one, is a part of the network."""
        return Preprocessing(
            "wav",
            {"rate": self.rate, "length": self.length, "bits": 16},
            (
                "sound = wave.open(str(path))",
                'fits = sound.getframerate() == form["rate"] and sound.getnframes() <= form["length"]',
                'assert fits and sound.getsampwidth() == 2, f"expected {form}"',
                'values = np.frombuffer(sound.readframes(10**9), "<i2").reshape(-1, sound.getnchannels()) / 2**15',
                "values = values.mean(1)",
                'inputs = {"input": np.pad(values, (0, form["length"] - len(values)))[None, None].astype("f4")}',
            ),
            ("wave",),
            f"At most {self.length:,} values of a WAV file of 16 bits at {self.rate:,} Hz, the mean of its channels "
            "between −1 and 1, zeros behind its end. Another rate must be resampled before, and a longer sound, which "
            "is refused, cut to where something is heard, as PaLoRA Studio does. Spectrograms are part of the network.",
        )

    def to_shown(self, x: Any) -> Sound:
        """The sound of values [1, length]."""
        return Sound(one_input(torch.as_tensor(x), 2)[0].float().cpu().numpy(), self.rate)

    def lost(self, shown: Sound) -> str:
        """What lies beyond the length."""
        there, kept = len(shown.values) / shown.rate, self.length / self.rate
        if there <= kept:
            return ""
        begin = self._begin(shown) / shown.rate
        return f"Of its {there:.2g} seconds the network hears {kept:.2g}, from {begin:.2f} s on, where it is loudest."

    def _begin(self, sound: Sound) -> int:
        """Where the network begins to read: where the loudest stretch of its length rises, 0 of one that fits.

        A person takes a moment to begin, and data sets begin at once.
        """
        room = round(self.length * sound.rate / self.rate)
        if len(sound.values) <= room:
            return 0
        power = np.square(sound.values, dtype=np.float64)
        total = np.concatenate([[0.0], power.cumsum()])
        first = int((total[room:] - total[:-room]).argmax())
        step = max(1, sound.rate // FRAMES)
        frames = power[first : first + room // step * step].reshape(-1, step).mean(1)
        risen = int((frames > RISEN * frames.max(initial=0.0)).argmax()) if len(frames) else 0
        return first + step * max(0, risen - 1)

    def _resampled(self, sound: Sound) -> np.ndarray:
        if sound.rate == self.rate:
            return sound.values
        from scipy.signal import resample_poly

        enough = math.ceil((self.length + 1) * sound.rate / self.rate) + 64  # the rest is cut off anyway
        common = math.gcd(self.rate, sound.rate)
        values = resample_poly(sound.values[:enough], self.rate // common, sound.rate // common)
        return np.asarray(values, dtype=np.float32)


def _values(raw: bytes, width: int) -> np.ndarray:
    """Little-endian integers of ``width`` bytes (one byte: unsigned) as values in [−1, 1]."""
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float64) - 128) / 128
    parts = np.frombuffer(raw, np.uint8).reshape(-1, width)
    wide = np.zeros((len(parts), 4), np.uint8)
    wide[:, 4 - width :] = parts
    return wide.view("<i4")[:, 0] / 2.0**31
