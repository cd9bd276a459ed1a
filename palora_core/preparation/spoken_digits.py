"""The Free Spoken Digit Dataset: its recordings as sounds of one length, with what is said and who says it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._read import files_below, some
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

RATE, LENGTH = 8000, 8000
OFFICIAL = 3000
MOST_SPEAKERS = 100
NAME = re.compile(r"(\d)_(\w+)_(\d+)\.wav")  # digit, speaker, index
FIELDS = {"sound": ((LENGTH,), "int16"), "digit": ((), "int8"), "speaker": ((), "int8"), "index": ((), "int16")}


@dataclass(frozen=True)
class Recording:
    """Reads one recording; picklable.

    Attributes:
        paths: of the files.
        speakers: their names, in the order of their numbers.
    """

    paths: tuple[Path, ...]
    speakers: tuple[str, ...]

    def sources(self, index: int) -> list[Path]:
        """The file."""
        return [self.paths[index]]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Its arrays: the first second of sound, 0 behind the end."""
        path = self.paths[index]
        digit, speaker, number = NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]
        from palora_core.inputs import Audio, Sound  # here: it brings torch, which takes seconds

        kind = Audio(RATE, LENGTH)
        try:
            sound = kind.read(path.read_bytes())
            second = Sound(sound.values[: math.ceil(LENGTH / RATE * sound.rate)], sound.rate)
            values = kind.to_input(second)[0, 0].numpy()
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}).") from None
        return {
            "sound": (values * 32767).round().astype(np.int16),
            "digit": np.array(int(digit), np.int8),
            "speaker": np.array(self.speakers.index(speaker), np.int8),
            "index": np.array(int(number), np.int16),
        }


@preparers.register("spoken_digits")
class SpokenDigits(Preparer):
    """``recordings/`` of the official folder: WAV files called ``digit_speaker_index.wav``."""

    name: ClassVar[str] = "spoken_digits"
    title: ClassVar[str] = "Free Spoken Digit Dataset"
    site: ClassVar[str] = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    licence: ClassVar[str] = "CC BY-SA 4.0"
    pieces: ClassVar[tuple[Piece, ...]] = (Piece("the folder recordings", ("*_*_*.wav",), "the repository"),)

    def plan(self, source: Path) -> Plan:
        """One part, ``all``, in the order of speaker, digit and index; the benchmark splits it."""
        found = [(match.groups(), path) for path in files_below(source) if (match := NAME.fullmatch(path.name))]
        if not found:
            raise UserError(f"{source} holds no recordings called digit_speaker_index.wav. {self.where()}")
        found.sort(key=lambda entry: (entry[0][1], entry[0][0], int(entry[0][2])))
        names = [path.name for _, path in found]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise UserError(f"{source} holds {some(twice, 3)} twice; give one copy of the recordings as --source.")
        speakers = tuple(sorted({groups[1] for groups, _ in found}))
        if not 2 <= len(speakers) <= MOST_SPEAKERS:
            raise UserError(f"{source} holds {len(speakers)} speakers; expected 2 to {MOST_SPEAKERS}.")
        recording = Recording(tuple(path for _, path in found), speakers)
        part = Part("all", len(found), FIELDS, PerItem(recording), recording.sources, 512)
        notes = count_note("recordings", len(found), OFFICIAL)
        return Plan("the recordings", (part,), notes, {"speakers": list(speakers)})
