"""Streets: a road, curved or straight, with pavements, frontages, a crossing, traffic and people."""

from __future__ import annotations

import math

from palora_core.scenes import roadside, traffic
from palora_core.scenes.catalog import CONSTRUCTION, FLAT, OBJECT
from palora_core.scenes.dice import Dice
from palora_core.scenes.solids import Frame
from palora_core.scenes.stage import Stage
from palora_core.scenes.weather import Weather

_NOWHERE = 1e6


class Street:
    """A street along x, built as it is constructed; the camera drives in its right half at x = 0.

    Attributes:
        stage: the scene.
        weather: its light.
        bend: curvature of the centre line y = bend · x² / 2, in 1/m.
        half: half the road's width.
        pavement: width of the pavements.
        lane: y of the camera.
        crossing: x of the side road, or very far.
        crossing_half: half the side road's width.
        ground: number of the solid that is the ground.
        lamps: places of lamps that shine at night.
    """

    def __init__(self, dice: Dice) -> None:
        self.stage = stage = Stage(dice)
        self.weather = Weather.draw(dice, stage.bank)
        self.bend = dice.normal(0, 0.004) if dice.chance(0.6) else 0.0
        self.half, self.pavement = dice.uniform(3.2, 8.0), dice.uniform(1.5, 4.5)
        self.lane = dice.uniform(-0.6, 0.1) * self.half * 0.8
        self.crossing = dice.uniform(10, 45) if dice.chance(0.45) else _NOWHERE
        self.crossing_half = dice.uniform(4, 8)
        self.lamps: list[Frame] = []
        density = dice.uniform(0.2, 1.0)
        for side in (-1, 1):
            self._frontage(side, density)
        for side in (-1, 1):
            self._kerb(side)
        self._parked_cars()
        self._moving_traffic()
        self._people()
        self._far_end()
        self.ground = len(stage.scene)
        stage.scene.box(Frame((60.0, 0.0, -0.5)), (0, 0, 0), (400, 400, 0.5), stage.plain((1, 1, 1)), FLAT)

    def at(self, along: float, sideways: float, turn: float = 0.0) -> Frame:
        """A place on the ground ``sideways`` left of the centre line, facing along the road and turned from there."""
        yaw = math.atan(self.bend * along)
        x, y = along - sideways * math.sin(yaw), 0.5 * self.bend * along**2 + sideways * math.cos(yaw)
        return Frame.upright((x, y, 0.0), yaw + turn)

    def _distance(self, frame: Frame) -> float:
        return math.hypot(frame.origin[0], frame.origin[1] - self.lane)

    def _frontage(self, side: int, density: float) -> None:
        """Houses, barriers and gaps from behind the camera to the far end."""
        dice, stage, strange, dark = self.stage.dice, self.stage, self.weather.strange, self.weather.dark
        along = dice.uniform(-12, -4)
        while along < 95:
            length = dice.uniform(7, 22)
            middle = along + length / 2
            if abs(middle - self.crossing) < self.crossing_half + length / 2:
                along += length
                continue
            back = self.half + self.pavement + (0 if dice.chance(0.6) else dice.uniform(0.5, 6))
            frame = self.at(middle, side * back)
            choice = dice.uniform()
            if choice < 0.25 + 0.6 * density:
                roadside.house(stage, frame, length, side, strange, dark)
            elif choice < 0.88:
                roadside.barrier(stage, frame, length, strange)
                for _ in range(dice.integer(0, 5)):
                    spot = self.at(middle + dice.uniform(-0.5, 0.5) * length, side * (back + dice.uniform(1, 9)))
                    roadside.tree(stage, spot, strange)
            along += length + (dice.uniform(0, 3) if dice.chance(0.3) else 0)

    def _kerb(self, side: int) -> None:
        """A row of trees or lamps, signs, bins, bollards."""
        dice, stage = self.stage.dice, self.stage
        along, gap = dice.uniform(2, 8), dice.uniform(6, 22)
        row = dice.weighted({"tree": 0.25, "lamp": 0.25, "mix": 0.35, "none": 0.15})
        while along < 70 and row != "none":
            frame = self.at(along, side * (self.half + dice.uniform(0.3, 0.8)))
            if abs(along - self.crossing) > self.crossing_half:
                if row == "tree" or (row == "mix" and dice.chance(0.4)):
                    roadside.tree(stage, frame, self.weather.strange)
                elif light := roadside.lamp_post(stage, frame, side, self.weather.dark):
                    self.lamps.append(light)
            along += gap * dice.uniform(0.7, 1.3)
        for _ in range(dice.poisson(2.5)):
            roadside.sign(stage, self.at(dice.uniform(4, 45), side * (self.half + dice.uniform(0.2, 1.2))))
        for _ in range(dice.poisson(1.2)):
            sideways = side * (self.half + dice.uniform(0.3, self.pavement))
            roadside.bin_or_box(stage, self.at(dice.uniform(5, 40), sideways))
        if dice.chance(0.3):
            metal, start = stage.plain(dice.grey(0.2, 0.8)), dice.uniform(4, 20)
            for number in range(dice.integer(3, 10)):
                frame = self.at(start + 1.6 * number, side * (self.half + 0.25))
                stage.scene.cylinder(frame, (0, 0, 0.45), 0.06, 0.45, metal, OBJECT)

    def _parked_cars(self) -> None:
        dice = self.stage.dice
        for side in (-1, 1):
            if self.half < 4.2 or not dice.chance(0.7):
                continue
            along, filled = dice.uniform(3, 9), dice.uniform(0.4, 0.95)
            while along < 65:
                if dice.chance(filled) and abs(along - self.crossing) > self.crossing_half + 3:
                    sideways = side * (self.half - 1.15 + dice.normal(0, 0.1))
                    self._vehicle(self.at(along, sideways, dice.normal(0, 0.03)), small=0.92)
                along += dice.uniform(5.2, 7.5)

    def _moving_traffic(self) -> None:
        dice = self.stage.dice
        for _ in range(dice.poisson(2.6)):
            sideways = dice.uniform(-0.75, 0.75) * (self.half - 2)
            turn = traffic.heading(sideways) + dice.normal(0, 0.06)
            self._vehicle(self.at(7 + 50 * dice.uniform() ** 1.2, sideways, turn), small=0.8)
        if self.crossing < _NOWHERE:
            for _ in range(dice.poisson(1.2)):
                frame = self.at(self.crossing + dice.uniform(-2, 2), dice.uniform(-22, 22), dice.sign() * math.pi / 2)
                self._vehicle(frame, small=0.8)
        for _ in range(dice.poisson(0.9)):
            frame = self.at(dice.uniform(5, 30), dice.uniform(-1, 1) * self.half, dice.normal(0, 0.3))
            if self._distance(frame) > 4:
                traffic.bicycle(self.stage, frame, rider=dice.chance(0.7))

    def _vehicle(self, frame: Frame, small: float) -> None:
        """A car, or with probability 1 - ``small`` something larger; none so near that it would fill the view."""
        dice, dark = self.stage.dice, self.weather.dark
        distance = self._distance(frame)
        if dice.chance(small):
            if distance > 5.5:
                traffic.car(self.stage, frame, dark, distance)
            return
        bus = dice.chance(0.35)
        if distance > (17 if bus else 11):
            traffic.van(self.stage, frame, dark, distance, bus)

    def _people(self) -> None:
        dice = self.stage.dice
        for _ in range(dice.poisson(5)):
            along = 3 + 40 * dice.uniform() ** 1.3
            on_road = dice.uniform(-self.half, self.half)
            on_pavement = dice.sign() * (self.half + dice.uniform(0.2, self.pavement))
            sideways = on_pavement if dice.chance(0.8) else on_road
            for _ in range(1 + dice.chance(0.35) + dice.chance(0.15)):
                place = (along + dice.normal(0, 0.5), sideways + dice.normal(0, 0.4))
                frame = self.at(*place, dice.uniform(0, 2 * math.pi))
                if self._distance(frame) > 2.8:
                    traffic.person(self.stage, frame, dice.uniform(0.62, 1.1))

    def _far_end(self) -> None:
        """A bridge now and then, and what closes the view."""
        dice, stage = self.stage.dice, self.stage
        if dice.chance(0.12):
            concrete = stage.paint("plaster", dice.grey(0.4, 0.8))
            frame = self.at(dice.uniform(30, 70), 0)
            half = (dice.uniform(2, 5), 60.0, 0.8)
            stage.scene.box(frame, (0, 0, dice.uniform(6, 8)), half, concrete, CONSTRUCTION)
        for _ in range(dice.integer(0, 9)):
            frame = self.at(dice.uniform(90, 150), dice.uniform(-90, 90))
            roadside.backdrop(stage, frame, self.weather.strange, self.weather.dark)
