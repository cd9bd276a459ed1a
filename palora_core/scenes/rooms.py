"""Rooms: four walls with windows, doors and pictures, furnished for what the room is used for."""

from __future__ import annotations

import math

from palora_core.scenes import furniture
from palora_core.scenes.catalog import CEILING, FLOOR, OBJECTS, PICTURE, WALL, WINDOW
from palora_core.scenes.dice import Dice, scaled
from palora_core.scenes.solids import Frame, Triple
from palora_core.scenes.stage import Stage

_PLANS = {
    "bedroom": ("bed", "wardrobe", "nightstand", "desk", "shelf", "chair"),
    "living": ("sofa", "sofa", "television", "coffee_table", "shelf", "cabinet", "chair", "lamp"),
    "office": ("desk", "desk", "chair", "chair", "shelf", "shelf", "cabinet"),
    "dining": ("dining_table", "cabinet", "cabinet", "shelf", "chair"),
}
_ANYTHING = (
    *("sofa", "desk", "shelf", "cabinet", "bed", "television", "chair", "chair", "wardrobe", "lamp", "nightstand"),
    *("shelf", "dining_table"),
)
_WALLPAPERS = {"plaster": 0.62, "stripes": 0.1, "dots": 0.08, "brick": 0.1, "wood": 0.1}
_THICK = 0.1


class Room:
    """A furnished room with a corner in the origin, built as it is constructed.

    Attributes:
        stage: the scene.
        size: length (x), width (y), height in metres.
        windows: frames of the window panes, their x axes into the room.
    """

    def __init__(self, dice: Dice) -> None:
        self.stage = Stage(dice)
        self.size: Triple = (dice.uniform(2.9, 6.2), dice.uniform(2.7, 5.4), dice.uniform(2.3, 2.9))
        self.windows: list[Frame] = []
        self._occupied: list[tuple[Triple, float]] = []
        self._shell()
        for _ in range(dice.integer(0, 4)):
            self._window()
        if dice.chance(0.5):
            self._door()
        plan = [*_PLANS[dice.pick(tuple(_PLANS))]] if dice.chance(0.85) else []
        plan += [dice.pick(_ANYTHING) for _ in range(dice.integer(2, 7))]
        for item in plan:
            if dice.chance(0.88):
                getattr(self, f"_{item}")()
        for _ in range(dice.integer(1, 7)):
            self._picture()
        self._loose_things()

    # ---- the shell

    def _shell(self) -> None:
        dice, stage = self.stage.dice, self.stage
        x, y, z = (side / 2 for side in self.size)
        room = Frame((x, y, 0.0))
        wall = self._wall_paint()
        walls = (wall, self._wall_paint() if dice.chance(0.3) else wall)
        floor = stage.paint(
            ("wood", "carpet", "paving", "cloth"),
            stage.wood_tone() if dice.chance(0.5) else dice.grey(0.3, 0.9),
            scale=dice.uniform(0.4, 1.0),
            gloss=dice.pick((0.0, 0.15, 0.3)),
        )
        outer = (x + 2 * _THICK, y + 2 * _THICK, _THICK)
        stage.scene.box(room, (0, 0, -_THICK), outer, floor, FLOOR)
        stage.scene.box(
            room, (0, 0, 2 * z + _THICK), outer, stage.paint("plaster", dice.grey(0.7, 1.05, 0.05)), CEILING
        )
        for side in (-1, 1):
            end, flank = (_THICK, y + 2 * _THICK, z), (x, _THICK, z)
            stage.scene.box(room, (side * (x + _THICK), 0, z), end, walls[side > 0], WALL)
            stage.scene.box(room, (0, side * (y + _THICK), z), flank, wall, WALL)
        if dice.chance(0.5):
            board = stage.paint("wood", dice.grey(0.5, 1.0))
            for side in (-1, 1):
                stage.scene.box(room, (side * x, 0, 0.05), (0.015, y, 0.05), board, WALL)
                stage.scene.box(room, (0, side * y, 0.05), (x, 0.015, 0.05), board, WALL)

    def _wall_paint(self) -> int:
        dice = self.stage.dice
        colour = dice.grey(0.55, 1.05, 0.1) if dice.chance(0.7) else dice.colour(0.45, 0.4, 1.1)
        return self.stage.paint(dice.weighted(_WALLPAPERS), colour, scale=dice.uniform(0.25, 0.7))

    def _on_wall(self, wall: int, along: float, height: float) -> Frame:
        """A place on one of the four walls; x points into the room."""
        length, width, _ = self.size
        place = ((0.0, along), (along, 0.0), (length, along), (along, width))[wall]
        return Frame.upright((*place, height), wall * math.pi / 2 if wall < 3 else -math.pi / 2)

    def _span(self, wall: int) -> float:
        return self.size[0] if wall in (1, 3) else self.size[1]

    def _window(self) -> None:
        dice, stage = self.stage.dice, self.stage
        wall, half, high = dice.integer(0, 4), dice.uniform(0.4, 1.1), dice.uniform(0.4, 0.75)
        span = self._span(wall)
        if span < 2 * half + 0.6:
            return
        height = min(dice.uniform(0.85, 1.1) + high, self.size[2] - high - 0.1)
        frame = self._on_wall(wall, dice.uniform(half + 0.2, span - half - 0.2), height)
        self.windows.append(frame)
        view = stage.paint("outside", fit=True, lit=dice.uniform(0.5, 1.6))
        stage.scene.box(frame, (0.01, 0, 0), (0.02, half, high), view, WINDOW)
        trim = stage.plain(dice.grey(0.5, 1.0))
        stage.scene.box(frame, (0.03, 0, high), (0.03, half + 0.05, 0.04), trim, WINDOW)
        stage.scene.box(frame, (0.05, 0, -high), (0.06, half + 0.08, 0.03), trim, WINDOW)
        stage.mirrored_boxes(frame, (0.03, half, 0), (0.03, 0.04, high), trim, WINDOW)
        if dice.chance(0.45):
            self._curtains(frame, half, high)
        elif dice.chance(0.4):
            blind = stage.plain(dice.grey(0.6, 1.0))
            for slat in range(dice.integer(4, 14)):
                stage.scene.box(frame, (0.05, 0, high - 0.07 * slat - 0.05), (0.02, half, 0.025), blind, WINDOW)

    def _curtains(self, frame: Frame, half: float, high: float) -> None:
        colour = scaled(self.stage.dice.colour(0.6), 1.15)
        cloth = self.stage.paint(("cloth", "cloth", "stripes"), colour, scale=0.6)
        for side in (-1, 1):
            for fold in range(3):
                place = (0.1, side * (half + 0.02 + 0.11 * fold), -0.1)
                self.stage.scene.cylinder(frame, place, 0.07, high + 0.3, cloth, WINDOW)

    def _door(self) -> None:
        dice, stage = self.stage.dice, self.stage
        frame = self._on_wall(dice.pick((0, 2)), dice.uniform(0.6, self.size[1] - 0.6), 0.0)
        leaf = stage.paint("wood", stage.wood_tone() if dice.chance(0.5) else dice.grey(0.6, 1.0), gloss=0.1)
        stage.scene.box(frame, (0.02, 0, 1.0), (0.03, 0.42, 1.0), leaf, WALL)
        stage.scene.ellipsoid(frame, (0.08, 0.33, 1.0), (0.04, 0.05, 0.04), stage.plain((0.7, 0.6, 0.3), 0.6), WALL)
        stage.mirrored_boxes(frame, (0.02, 0.46, 1.02), (0.04, 0.05, 1.04), stage.plain(dice.grey(0.6, 1.0)), WALL)

    def _picture(self) -> None:
        dice, stage = self.stage.dice, self.stage
        wall, half, high = dice.integer(0, 4), dice.uniform(0.15, 0.6), dice.uniform(0.15, 0.5)
        along = dice.uniform(half + 0.1, self._span(wall) - half - 0.1)
        frame = self._on_wall(wall, along, dice.uniform(1.3, 1.9))
        if any(math.dist(frame.origin, window.origin) < 1.1 for window in self.windows):
            return
        canvas = stage.paint("painting", fit=True, gloss=dice.pick((0.0, 0.0, 0.4)))
        stage.scene.box(frame, (0.015, 0, 0), (0.02, half, high), canvas, PICTURE)

    # ---- furniture

    def _place(self, length: float, depth: float, free: bool = False) -> Frame | None:
        """Room for a piece of furniture, against a wall or anywhere; None if none was found."""
        dice = self.stage.dice
        for _ in range(14):
            if free:
                place = (dice.uniform(0.8, self.size[0] - 0.8), dice.uniform(0.8, self.size[1] - 0.8), 0.0)
                frame = Frame.upright(place, dice.uniform(0, 2 * math.pi))
            else:
                wall = dice.integer(0, 4)
                span = self._span(wall)
                if span < length + 0.2:
                    continue
                on_wall = self._on_wall(wall, dice.uniform(length / 2 + 0.05, span - length / 2 - 0.05), 0.0)
                frame = on_wall.at(depth / 2 + dice.uniform(0.01, 0.06), 0, 0).yawed(dice.normal(0, 0.02))
            radius = 0.42 * math.hypot(length, depth)
            if all(math.dist(frame.origin, other) > radius + taken for other, taken in self._occupied):
                self._occupied.append((frame.origin, radius))
                return frame
        return None

    def _bed(self) -> None:
        length, depth = self.stage.dice.uniform(1.0, 2.0), self.stage.dice.uniform(1.9, 2.1)
        if frame := self._place(length, depth):
            furniture.bed(self.stage, frame, length, depth)

    def _sofa(self) -> None:
        length, depth = self.stage.dice.uniform(1.0, 2.3), self.stage.dice.uniform(0.8, 0.95)
        if frame := self._place(length, depth):
            furniture.sofa(self.stage, frame, length, depth)

    def _chair(self) -> None:
        if frame := self._place(0.5, 0.5, free=self.stage.dice.chance(0.6)):
            furniture.chair(self.stage, frame)

    def _desk(self) -> None:
        dice = self.stage.dice
        length, depth, height = dice.uniform(1.0, 1.7), dice.uniform(0.55, 0.8), dice.uniform(0.7, 0.78)
        frame = self._place(length, depth + 0.5)
        if frame is None:
            return
        furniture.table(self.stage, frame, length, depth, height)
        furniture.scatter(self.stage, frame, length, depth, height + 0.02, dice.integer(1, 7))
        if dice.chance(0.7):
            furniture.monitor(self.stage, frame.at(-0.1 * depth, 0, height + 0.02))
        if dice.chance(0.8):
            seat = frame.at(depth / 2 + dice.uniform(0.1, 0.4), dice.normal(0, 0.2), 0)
            furniture.chair(self.stage, seat.yawed(math.pi + dice.normal(0, 0.3)))
        if dice.chance(0.4):
            furniture.drawers(self.stage, frame, length, depth, height)

    def _coffee_table(self) -> None:
        dice = self.stage.dice
        length, depth, height = dice.uniform(0.7, 1.2), dice.uniform(0.4, 0.65), dice.uniform(0.35, 0.5)
        if frame := self._place(length, depth, free=True):
            furniture.table(self.stage, frame, length, depth, height)
            furniture.scatter(self.stage, frame, length, depth, height + 0.02, dice.integer(1, 5))

    def _dining_table(self) -> None:
        dice = self.stage.dice
        length, depth = dice.uniform(1.1, 1.9), dice.uniform(0.7, 1.0)
        frame = self._place(length + 0.6, depth + 0.6, free=True)
        if frame is None:
            return
        furniture.table(self.stage, frame, length, depth, 0.75)
        furniture.scatter(self.stage, frame, length, depth, 0.77, dice.integer(2, 8))
        seats = max(1, int(length / 0.7))
        for side in (-1, 1):
            for seat in range(seats):
                if dice.chance(0.85):
                    place = frame.at(side * (depth / 2 + dice.uniform(0, 0.25)), (seat + 0.5 - seats / 2) * 0.7, 0)
                    facing = (math.pi if side > 0 else 0) + dice.normal(0, 0.25)
                    furniture.chair(self.stage, place.yawed(facing))

    def _shelf(self) -> None:
        dice = self.stage.dice
        length, depth, height = dice.uniform(0.6, 1.4), dice.uniform(0.25, 0.36), dice.uniform(0.9, 2.1)
        if frame := self._place(length, depth):
            furniture.shelf(self.stage, frame, length, depth, height)

    def _cabinet(self) -> None:
        dice = self.stage.dice
        length, depth, height = dice.uniform(0.8, 1.8), dice.uniform(0.4, 0.6), dice.uniform(0.6, 1.1)
        if frame := self._place(length, depth):
            furniture.cabinet(self.stage, frame, length, depth, height)
            furniture.scatter(self.stage, frame, length, depth, height, dice.integer(0, 6))

    def _wardrobe(self) -> None:
        length = self.stage.dice.uniform(0.8, 2.0)
        if frame := self._place(length, 0.6):
            furniture.cabinet(self.stage, frame, length, 0.6, self.stage.dice.uniform(1.8, 2.2))

    def _nightstand(self) -> None:
        if frame := self._place(0.45, 0.4):
            furniture.cabinet(self.stage, frame, 0.44, 0.4, 0.5)
            if self.stage.dice.chance(0.6):
                furniture.lamp(self.stage, frame.at(0, 0, 0.5), 0.22)
            else:
                furniture.scatter(self.stage, frame, 0.4, 0.4, 0.5, 2)

    def _lamp(self) -> None:
        if frame := self._place(0.4, 0.4):
            furniture.lamp(self.stage, frame, self.stage.dice.uniform(1.2, 1.5))

    def _television(self) -> None:
        dice = self.stage.dice
        length, height = dice.uniform(1.0, 1.7), dice.uniform(0.4, 0.6)
        if frame := self._place(length, 0.42):
            furniture.television(self.stage, frame, length, 0.42, height)

    def _loose_things(self) -> None:
        dice, (length, width, height) = self.stage.dice, self.size
        for _ in range(dice.poisson(5)):
            place = (dice.uniform(0.4, length - 0.4), dice.uniform(0.4, width - 0.4), 0.0)
            furniture.thing(self.stage, Frame(place), size=2.2)
        bulb = self.stage.plain((1.0, 1.0, 0.95), glow=1.2)
        for _ in range(dice.integer(0, 3)):
            place = (dice.uniform(0.8, length - 0.8), dice.uniform(0.8, width - 0.8), height - 0.04)
            half = (dice.uniform(0.1, 0.5), dice.uniform(0.1, 0.5), 0.03)
            self.stage.scene.box(Frame(place), (0, 0, 0), half, bulb, OBJECTS)
