import numpy as np
import pytest

from palora_core.scenes import raycast
from palora_core.scenes.catalog import OBJECTS
from palora_core.scenes.lighting import blur, lamp_shadow, openness, sun_shadow
from palora_core.scenes.raycast import View, cast, orientation
from palora_core.scenes.solids import BOX, CYLINDER, ELLIPSOID, FRUSTUM, Frame, Scene
from palora_core.scenes.surface import resolve

HEIGHT, WIDTH = 24, 36


def mixed_scene(seed: int, count: int = 40):
    """Random solids of all kinds in front of, beside and behind a camera in the origin that looks along x."""
    rng = np.random.default_rng(seed)
    scene = Scene()
    paint = scene.material(0, (1.0, 1.0, 1.0))
    for number in range(count):
        place = tuple(rng.uniform([-1, -3, -2], [9, 3, 2]))
        frame = Frame.upright(place, rng.uniform(0, 6)).pitched(rng.uniform(-0.6, 0.6))
        half = tuple(rng.uniform(0.05, 0.6, 3))
        if number % 4 == 0:
            scene.box(frame, (0, 0, 0), half, paint, OBJECTS)
        elif number % 4 == 1:
            scene.ellipsoid(frame, (0, 0, 0), half, paint, OBJECTS)
        elif number % 4 == 2:
            scene.cylinder(frame, (0, 0, 0), half[0], half[1], paint, OBJECTS, axis="xyz"[number % 3])
        else:
            scene.frustum(frame, (0, 0, 0), half, (0.5, 0.8), paint, OBJECTS, lean=0.1)
    scene.box(Frame((0.0, 0.0, -3.0)), (0, 0, 0), (30, 30, 0.5), paint, OBJECTS)  # reaches behind the camera
    return scene.finish()


def depth_inside(solids, points):
    """How deep inside each solid points [P, 3] are, relative to its size; negative outside [P, n]."""
    unit = np.einsum("nij,pnj->pni", solids.inverse, points[:, None] - solids.center)
    x, y, z = np.moveaxis(np.abs(unit), -1, 0)
    wide = 1 - solids.taper.astype(float).T[:, None] * (1 + unit[..., 2])
    shapes = {
        BOX: 1 - np.maximum(np.maximum(x, y), z),
        ELLIPSOID: 1 - np.linalg.norm(unit, axis=-1),
        CYLINDER: 1 - np.maximum(np.hypot(x, y), z),
        FRUSTUM: np.minimum(np.minimum(wide[0] - x, wide[1] - y), 1 - z),
    }
    return np.select([solids.kind == kind for kind in shapes], list(shapes.values()))


def views():
    pinhole = View.pinhole(np.zeros(3), orientation(0.1, -0.15, 0.05), 0.8 * WIDTH, HEIGHT, WIDTH)
    columns, rows = (np.linspace(-3, 3, n, dtype=np.float32) for n in (WIDTH, HEIGHT))
    parallel = View(np.array([-8.0, 0.3, 1.0]), orientation(-0.1, -0.2, 0.0), columns, rows, parallel=True)
    return {"pinhole": pinhole, "parallel": parallel}


def lines(view):
    """Start and direction of every ray [H, W, 3] each, from the definition."""
    x, y = np.meshgrid(view.columns.astype(float), view.rows.astype(float))
    local = np.stack([x, y, np.ones_like(x)], axis=-1)
    if view.parallel:
        start = view.position + np.stack([x, y, np.zeros_like(x)], axis=-1) @ view.axes.T
        return start, np.broadcast_to(view.axes[:, 2], start.shape)
    return np.broadcast_to(view.position, local.shape), local @ view.axes.T


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["pinhole", "parallel"])
def test_what_is_hit_is_on_a_surface_and_nothing_lies_before_it(name, seed):
    solids, view = mixed_scene(seed), views()[name]
    depth, seen = cast(solids, view, near=0.05)
    start, direction = lines(view)
    hit = np.isfinite(depth)
    assert (hit == (seen >= 0)).all()
    assert hit.mean() > 0.2
    ends = (start + np.where(hit, depth, 0)[..., None] * direction)[hit]
    inside = depth_inside(solids, ends)[np.arange(len(ends)), seen[hit]]
    assert np.abs(inside).max() < 5e-3
    # A camera inside a solid does not see it from within, so such solids are left out of the second half.
    around = depth_inside(solids, view.position[None])[0] > 0
    for share in np.linspace(0.01, 0.99, 60):
        reach = np.where(hit, depth, 12.0) * share
        along = (start + reach[..., None] * direction).reshape(-1, 3)
        before = depth_inside(solids, along)[:, ~around].max(1).reshape(depth.shape)
        assert before[reach > 0.05].max() < 5e-3


@pytest.mark.parametrize("name", ["pinhole", "parallel"])
def test_one_by_one_and_all_at_once_see_the_same(monkeypatch, name):
    solids, view = mixed_scene(7), views()[name]
    monkeypatch.setattr(raycast, "_LARGE", 1)
    one_by_one, first = cast(solids, view, near=0.05)
    monkeypatch.setattr(raycast, "_LARGE", 10**9)
    at_once, second = cast(solids, view, near=0.05)
    assert np.allclose(one_by_one, at_once, rtol=1e-5)
    assert (first == second).mean() > 0.999


def test_skipped_solids_are_not_seen():
    solids, view = mixed_scene(1), views()["pinhole"]
    skip = np.zeros(len(solids.kind), bool)
    skip[::2] = True
    _, seen = cast(solids, view, near=0.05, skip=skip)
    assert not np.isin(seen, np.flatnonzero(skip)).any()
    assert (seen >= 0).any()


def test_normals_are_those_of_the_surface():
    solids, view = mixed_scene(2), views()["pinhole"]
    surface = resolve(solids, view, *cast(solids, view, near=0.05))
    assert np.abs(np.linalg.norm(surface.normal, axis=0) - 1).max() < 1e-5
    assert ((surface.normal * surface.ray).sum(0) <= 0).all()
    # One step out along the normal leaves the solid as fast as any direction can: inside-ness falls.
    points, normals = surface.point.T.astype(float), surface.normal.T.astype(float)
    rows = np.arange(len(points))
    inner = depth_inside(solids, points - 5e-3 * normals)[rows, surface.solid]
    outer = depth_inside(solids, points + 5e-3 * normals)[rows, surface.solid]
    assert (inner > outer).all()
    assert (outer < 1e-3).all()
    assert np.mean(inner > 0) > 0.97  # the rest lies on edges


def test_holes_let_some_rays_through():
    scene = Scene()
    paint = scene.material(0, (1.0, 1.0, 1.0))
    scene.ellipsoid(Frame((4.0, 0.0, 0.0)), (0, 0, 0), (1, 1, 1), paint, OBJECTS, hole=0.5)
    whole = Scene()
    whole.ellipsoid(Frame((4.0, 0.0, 0.0)), (0, 0, 0), (1, 1, 1), whole.material(0, (1.0, 1.0, 1.0)), OBJECTS)
    view = views()["pinhole"]
    ragged, _ = cast(scene.finish(), view, near=0.05)
    smooth, _ = cast(whole.finish(), view, near=0.05)
    inside = np.isfinite(smooth)
    assert not np.isfinite(ragged[~inside]).any()
    assert 0.1 < (ragged[inside] > smooth[inside] + 1e-4).mean() < 0.95  # far side or nothing
    assert np.isinf(ragged[inside]).any()


def box_above_ground():
    scene = Scene()
    paint = scene.material(0, (1.0, 1.0, 1.0))
    scene.box(Frame((6.0, 0.0, 2.0)), (0, 0, 0), (1, 1, 0.1), paint, OBJECTS)
    scene.box(Frame((6.0, 0.0, -0.5)), (0, 0, 0), (20, 20, 0.5), paint, OBJECTS)
    solids = scene.finish()
    view = View.pinhole(np.array([0.0, 0.0, 1.5]), orientation(0.0, -0.2, 0.0), 40.0, 48, 64)
    depth, seen = cast(solids, view, near=0.05)
    return solids, resolve(solids, view, depth, seen)


@pytest.mark.parametrize("light", ["sun", "lamp"])
def test_shadows_fall_where_something_is_between_light_and_ground(light):
    solids, surface = box_above_ground()
    if light == "sun":
        share = sun_shadow(solids, surface, np.array([0.0, 0.01, 1.0]), np.array([False, True]))
    else:
        share = lamp_shadow(solids, surface, np.array([6.0, 0.0, 4.0]))
    assert share.min() >= 0
    assert share.max() <= 1 + 1e-6
    away = np.maximum(np.abs(surface.point[0] - 6), np.abs(surface.point[1]))
    ground, edge = surface.solid == 1, {"sun": 1.0, "lamp": 2.1}[light]
    reached = away < 4
    assert share[ground & (away < edge - 0.4)].max() < 0.05
    assert share[ground & reached & (away > edge + 0.6)].min() > 0.95


def test_corners_get_less_light_than_planes():
    rows = np.abs(np.arange(64) - 32)
    valley = np.broadcast_to((3 - 0.03 * rows).astype(np.float32)[:, None], (64, 64))
    light = openness(valley, 0.2)
    assert light.shape == (64, 64)
    assert light[32, 32] < 0.9
    assert light[8, 32] > 0.98


def test_blur_keeps_the_mean_of_even_areas_and_spreads_points():
    assert np.allclose(blur(np.full((3, 5, 6), 2, np.float32), 0.7), 2)
    point = np.zeros((5, 5), np.float32)
    point[2, 2] = 1
    spread = blur(point, 0.7)
    assert abs(spread.sum() - 1) < 1e-6
    assert np.allclose(spread, spread.T)
    assert spread[2, 2] > spread[2, 1] > spread[1, 1] > 0
