"""What the scene grammars build on: random choices, textures, and the scene that solids are added to."""

from __future__ import annotations

from collections.abc import Sequence

from palora_core.scenes.dice import Colour, Dice, hsv
from palora_core.scenes.solids import Frame, Scene, Triple
from palora_core.scenes.textures import TextureBank, bank


class Stage:
    """A scene in the making.

    Attributes:
        dice: random choices.
        bank: textures.
        scene: solids so far.
    """

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.bank: TextureBank = bank()
        self.scene = Scene()

    def paint(
        self,
        textures: str | Sequence[str],
        colour: Colour = (1.0, 1.0, 1.0),
        scale: float = 0.5,
        gloss: float = 0.0,
        glow: float = 0.0,
        fit: bool = False,
        lit: float = 0.0,
    ) -> int:
        """A material with one of the named groups' textures at a random offset; see :meth:`Scene.material`."""
        name = textures if isinstance(textures, str) else self.dice.pick(textures)
        offset = (self.dice.uniform(), self.dice.uniform())
        return self.scene.material(self.bank.pick(self.dice, name), colour, scale, offset, gloss, glow, fit, lit)

    def plain(self, colour: Colour, gloss: float = 0.0, glow: float = 0.0) -> int:
        """A material without texture."""
        return self.scene.material(0, colour, gloss=gloss, glow=glow)

    def wood_tone(self) -> Colour:
        """A colour that wood has."""
        return hsv(self.dice.uniform(0.04, 0.11), self.dice.uniform(0.15, 0.6), self.dice.uniform(0.25, 0.95))

    def mirrored_boxes(self, frame: Frame, centre: Triple, half: Triple, material: int, label: int) -> None:
        """The same box on both sides of the frame's y axis."""
        for side in (1, -1):
            self.scene.box(frame, (centre[0], side * centre[1], centre[2]), half, material, label)

    def legs(
        self, frame: Frame, reach: tuple[float, float], height: float, half: float, material: int, label: int
    ) -> None:
        """Four posts from the floor to ``height``, centred ``reach`` from the middle."""
        for x in (reach[0], -reach[0]):
            self.mirrored_boxes(frame, (x, reach[1], height / 2), (half, half, height / 2), material, label)
