import math

import numpy as np
import pytest

from palora_core.scenes.dice import Dice, hsv
from palora_core.scenes.lens import Lens
from palora_core.scenes.patterns import noise
from palora_core.scenes.raycast import SAMPLES
from palora_core.scenes.solids import Frame
from palora_core.scenes.textures import bank


def test_dice_follow_their_distributions():
    dice = Dice(3, 1)
    uniform = np.array([dice.uniform(2, 5) for _ in range(4000)])
    assert uniform.min() >= 2 and uniform.max() < 5 and abs(uniform.mean() - 3.5) < 0.06
    normal = np.array([dice.normal(1, 2) for _ in range(4000)])
    assert abs(normal.mean() - 1) < 0.12 and abs(normal.std() - 2) < 0.1
    counts = np.array([dice.poisson(2.5) for _ in range(4000)])
    assert abs(counts.mean() - 2.5) < 0.1 and abs(counts.var() - 2.5) < 0.3
    assert {dice.integer(3, 6) for _ in range(200)} == {3, 4, 5}
    assert {dice.sign() for _ in range(50)} == {-1, 1}
    picks = [dice.weighted({"a": 1.0, "b": 3.0, "never": 0.0}) for _ in range(4000)]
    assert abs(picks.count("b") / 4000 - 0.75) < 0.03 and "never" not in picks


def test_dice_are_named_by_all_their_integers():
    streams = [Dice(1, 2), Dice(2, 1), Dice(0, 1, 2), Dice(1), Dice(1, 3)]
    assert len({stream.uniform() for stream in streams}) == len(streams)
    assert Dice(1, 2).uniform() == Dice(1, 2).uniform()
    assert Dice(4).pixels().random() == Dice(4).pixels().random() != Dice(5).pixels().random()


def test_hsv_meets_the_corners_of_the_colour_cube():
    assert hsv(0, 1, 1) == (1, 0, 0)
    assert hsv(1 / 3, 1, 1) == pytest.approx((0, 1, 0))
    assert hsv(2 / 3, 1, 0.5) == pytest.approx((0, 0, 0.5))
    assert hsv(0.4, 0, 0.7) == pytest.approx((0.7, 0.7, 0.7))


def test_frames_turn_and_move_like_rotation_matrices():
    frame = Frame.upright((1.0, 2.0, 3.0), math.pi / 2)
    assert frame.point(1, 0, 0) == pytest.approx((1, 3, 3))
    assert frame.at(0, 1, 0).origin == pytest.approx((0, 2, 3))
    assert frame.yawed(-math.pi / 2).axes == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    axes = np.array(frame.yawed(0.3).pitched(-0.7).axes).reshape(3, 3)
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1)
    assert Frame((0.0, 0.0, 0.0)).pitched(math.pi / 2).point(0, 0, 1) == pytest.approx((1, 0, 0))


def test_noise_tiles_and_fills_the_range():
    values = noise(np.random.default_rng(0), 64)
    assert values.min() == 0 and values.max() == 1
    inner, seam = np.abs(np.diff(values, axis=1)).max(), np.abs(values[:, 0] - values[:, -1]).max()
    assert seam <= inner * 1.5


@pytest.mark.parametrize("name", ["brick", "facade", "leaves", "sign", "outside"])
def test_textures_repeat_and_shrink_to_their_mean(name):
    chosen = bank()
    texture = chosen.pick(Dice(0), name)
    rng = np.random.default_rng(1)
    u, v = (rng.uniform(-2, 2, 500).astype(np.float32) for _ in range(2))
    sharp = chosen.sample(texture, u, v, np.ones_like(u))
    assert sharp.shape == (4, 500)
    assert sharp.min() >= 0 and sharp.max() <= 1
    again = chosen.sample(np.full(500, texture), np.float32(u + 4), np.float32(v - 8), np.ones_like(u))
    assert np.abs(sharp - again).mean() < 0.02  # rounding moves a few lookups to the next texel
    grid = (np.arange(256, dtype=np.float32) + 0.5) / 256
    every = chosen.sample(texture, np.tile(grid, 256), np.repeat(grid, 256), np.ones(65536, np.float32))
    blurred = chosen.sample(texture, u, v, np.full_like(u, 1e4))
    assert np.abs(blurred.mean(1) - every.mean(1)).max() < 0.1
    assert blurred.std(1).max() < sharp.std(1).max()


def test_a_bright_ray_does_not_fray_edges_and_brightness_is_kept():
    lens = Lens(0.01, 0.0, 0.5, 1.0, 1.0, (1.0, 1.0, 1.0), 0.0)
    even = lens.develop(np.full((3, 8 * SAMPLES, 8 * SAMPLES), 3, np.float32), np.random.default_rng(0))
    assert even.shape == (8, 8, 3)
    assert even.min() == even.max()
    assert 150 < even[0, 0, 0] < 200  # the key, through the display's exponent
    darker = lens.develop(np.full((3, 16, 16), 0.1, np.float32), np.random.default_rng(0))
    assert np.abs(darker.astype(int) - even).max() <= 1  # exposure does not depend on the light's unit
