import dataclasses
import itertools
import pickle

import pytest
import torch

from palora_core.errors import UserError
from palora_core.samplers import (
    Annealed,
    AnnealedDirichlet,
    Constant,
    Corners,
    Dirichlet,
    Fixed,
    PreferenceSampler,
    annealed_preferences,
    samplers,
)
from palora_core.simplex import is_on_simplex

TASKS = range(2, 8)
COUNTS = range(1, 13)
TIMES = [0.0, 0.013, 0.25, 0.5, 0.75, 1.0]
TEMPERATURES = [0.2, 1.0, 5.0]
GRID = list(itertools.product(TASKS, COUNTS))
NAMES = ["annealed", "annealed_dirichlet", "constant", "corners", "dirichlet", "fixed", "one_task"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("num_tasks", "num_preferences"), [*GRID, (1, 4), (40, 5)])
def test_schedule_is_balanced_inside_the_simplex_at_every_time(num_tasks, num_preferences):
    for tau, temperature in itertools.product(TIMES, TEMPERATURES):
        rows = annealed_preferences(num_tasks, num_preferences, tau, temperature).double()
        assert rows.shape == (num_preferences, num_tasks)
        assert (rows > 0).all()
        assert (rows.sum(1) - 1).abs().max() < 1e-6
        assert (rows.mean(0) - 1 / num_tasks).abs().max() < 1e-6


@pytest.mark.parametrize(("num_tasks", "num_preferences"), GRID)
def test_schedule_begins_at_the_centre(num_tasks, num_preferences):
    rows = annealed_preferences(num_tasks, num_preferences, 0.0, 0.2)
    assert torch.allclose(rows, torch.full_like(rows, 1 / num_tasks), atol=1e-7)


@pytest.mark.parametrize(("num_tasks", "num_preferences"), GRID)
def test_schedule_moves_continuously(num_tasks, num_preferences):
    for tau in [0.0, 0.3, 0.999]:
        for step in [1e-3, 1e-5]:
            before = annealed_preferences(num_tasks, num_preferences, tau, 1.0).double()
            after = annealed_preferences(num_tasks, num_preferences, tau + step, 1.0).double()
            assert (after - before).abs().max() < 10 * step + 2e-7


@pytest.mark.parametrize("num_tasks", TASKS)
def test_a_single_preference_stays_at_the_centre(num_tasks):
    for tau in TIMES:
        assert torch.allclose(annealed_preferences(num_tasks, 1, tau), torch.full((1, num_tasks), 1 / num_tasks))


@pytest.mark.parametrize(("num_tasks", "num_preferences"), [(t, m) for t, m in GRID if m > 1])
def test_schedule_spreads_with_time_and_against_temperature(num_tasks, num_preferences):
    def extent(tau: float, temperature: float) -> float:
        return float((annealed_preferences(num_tasks, num_preferences, tau, temperature) - 1 / num_tasks).norm())

    over_time = [extent(tau, 1.0) for tau in (0.0, 0.1, 0.3, 0.6, 1.0)]
    over_temperature = [extent(0.5, temperature) for temperature in (5.0, 2.0, 1.0, 0.2)]
    assert over_time == sorted(over_time)
    assert over_temperature == sorted(over_temperature)
    assert over_time[0] < over_time[-1]


def test_two_tasks_follow_the_released_schedule_at_temperature_one_over_mul():
    # Values of the released code for M = 5, mul = 5, ε = 0.01; it lists rows from the small weight to the large one.
    for tau, expected in {
        0.1: [0.0913, 0.3691, 0.5, 0.6309, 0.9087],
        0.25: [0.0032, 0.2075, 0.5, 0.7925, 0.9968],
        1.0: [1.05e-10, 0.0047, 0.5, 0.9953, 1.0],
    }.items():
        rows = annealed_preferences(2, 5, tau, temperature=0.2, epsilon=0.01)
        assert rows.flip(0)[:, 0].tolist() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("num_tasks", "num_preferences"), [(2, 5), (3, 6), (3, 10), (4, 10)])
def test_schedule_over_a_lattice_is_plain_eq_2(num_tasks, num_preferences):
    base = annealed_preferences(num_tasks, num_preferences, 1.0, 1.0).double()
    powers = base ** (0.4 / 0.5)
    expected = powers / powers.sum(1, keepdim=True)
    assert torch.allclose(annealed_preferences(num_tasks, num_preferences, 0.4, 0.5).double(), expected, atol=1e-6)


@pytest.mark.parametrize("num_preferences", [3, 4, 5, 6, 10])
def test_three_tasks_all_get_their_turn(num_preferences):
    # The released schedule left the third task without any weight at every step.
    for tau in [0.1, 0.5, 1.0]:
        rows = annealed_preferences(3, num_preferences, tau, 0.2)
        assert rows.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)
        assert (rows.max(0).values > 0.35).all()


@pytest.mark.parametrize(("num_tasks", "num_preferences"), [(2, 7), (3, 6), (3, 10), (4, 10), (5, 5)])
def test_schedule_over_a_lattice_treats_tasks_alike(num_tasks, num_preferences):
    rows = annealed_preferences(num_tasks, num_preferences, 0.37, 0.5)
    for order in itertools.permutations(range(num_tasks)):
        moved = rows[:, list(order)]
        assert (torch.cdist(moved, rows).min(1).values < 1e-6).all()


@pytest.mark.parametrize(("num_tasks", "num_preferences"), [(2, 2), (3, 4), (6, 3)])
def test_epsilon_holds_points_off_the_faces(num_tasks, num_preferences):
    for epsilon in [0.001, 0.1, 0.4]:
        rows = annealed_preferences(num_tasks, num_preferences, 1.0, 1.0, epsilon)
        assert float(rows.min()) == pytest.approx(2 * epsilon / num_tasks, rel=0.05)


def test_schedule_hands_out_its_own_memory():
    annealed_preferences(3, 5, 0.5).zero_()
    assert annealed_preferences(3, 5, 0.5).sum() > 4


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"num_tasks": 0}, "num_tasks"),
        ({"num_preferences": 0}, "num_points"),
        ({"tau": -0.1}, "tau"),
        ({"tau": 1.1}, "tau"),
        ({"tau": float("nan")}, "tau"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": 0.5}, "epsilon"),
    ],
)
def test_schedule_names_the_wrong_argument(changed, named):
    arguments = {"num_tasks": 3, "num_preferences": 4, "tau": 0.5, "temperature": 1.0, "epsilon": 0.01} | changed
    with pytest.raises(UserError, match=named):
        annealed_preferences(**arguments)


def test_all_samplers_are_registered():
    assert samplers.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEverySampler:
    def test_gives_the_asked_rows_on_the_simplex(self, name):
        sampler = samplers.get(name)()
        assert isinstance(sampler, PreferenceSampler)
        source = generator()
        for num_tasks, num_preferences, tau in itertools.product([1, *TASKS], COUNTS, [0.0, 0.5, 1.0]):
            rows = sampler.sample(num_tasks, num_preferences, tau, source)
            assert rows.shape == (num_preferences, num_tasks)
            assert rows.dtype == torch.float32
            assert is_on_simplex(rows, 1e-5)

    def test_continues_from_the_state_of_the_generator(self, name):
        sampler = samplers.get(name)()
        source = generator(3)
        sampler.sample(3, 4, 0.1, source)
        state = source.get_state()
        expected = [sampler.sample(3, 4, tau, source) for tau in (0.2, 0.3)]
        resumed = generator(99)
        resumed.set_state(state)
        for tau, rows in zip((0.2, 0.3), expected):
            assert torch.equal(sampler.sample(3, 4, tau, resumed), rows)

    def test_leaves_other_random_numbers_alone(self, name):
        before = torch.random.get_rng_state()
        samplers.get(name)().sample(3, 4, 0.5, generator())
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_is_frozen_hashable_and_pickles(self, name):
        sampler = samplers.get(name)()
        assert pickle.loads(pickle.dumps(sampler)) == sampler
        assert hash(sampler) == hash(samplers.get(name)())
        with pytest.raises(dataclasses.FrozenInstanceError):
            sampler.surprise = 1

    def test_rejects_no_preferences(self, name):
        with pytest.raises(UserError):
            samplers.get(name)().sample(2, 0, 0.5, generator())

    def test_works_without_a_generator(self, name):
        torch.manual_seed(0)
        first = samplers.get(name)().sample(3, 2, 0.5, None)
        torch.manual_seed(0)
        assert torch.equal(samplers.get(name)().sample(3, 2, 0.5, None), first)


def test_constant_is_the_centre_or_what_it_was_given():
    assert torch.allclose(Constant().sample(4, 2, 0.5, None), torch.full((2, 4), 0.25))
    assert Constant((0.0, 1.0)).sample(2, 3, 0.5, None).tolist() == [[0, 1]] * 3
    assert Constant((1, 3)).sample(2, 1, 0.0, None).tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("preference", [(-0.1, 1.1), (0.0, 0.0), (float("nan"), 1.0), (), 0.5, "ab"])
def test_constant_rejects_what_is_no_direction(preference):
    with pytest.raises(UserError):
        Constant(preference)


def test_constant_must_fit_the_tasks():
    with pytest.raises(UserError, match="expected 3 finite numbers"):
        Constant((0.5, 0.5)).sample(3, 1, 0.0, None)


def test_annealed_is_the_schedule_and_fixed_its_base_points():
    expected = annealed_preferences(3, 6, 0.3, 0.2, 0.02)
    assert torch.equal(Annealed(0.2, 0.02).sample(3, 6, 0.3, None), expected)
    for tau in TIMES:
        assert torch.equal(Fixed(0.02).sample(3, 6, tau, None), annealed_preferences(3, 6, 1.0, 1.0, 0.02))


@pytest.mark.parametrize("concentration", [0.2, 1.0, 4.0])
def test_dirichlet_has_the_moments_of_its_distribution(concentration):
    rows = Dirichlet(concentration).sample(3, 20_000, 0.5, generator()).double()
    expected = torch.distributions.Dirichlet(torch.full((3,), concentration).double())
    assert torch.allclose(rows.mean(0), expected.mean, atol=0.01)
    assert torch.allclose(rows.var(0), expected.variance, atol=0.01)


def test_annealed_dirichlet_ends_at_the_corners():
    sampler = AnnealedDirichlet(concentration=5.0)
    largest = [float(sampler.sample(4, 2000, tau, generator()).max(1).values.mean()) for tau in (0.0, 0.5, 0.9, 1.0)]
    assert largest == sorted(largest)
    assert largest[-1] > 0.99
    corners = sampler.sample(4, 2000, 1.0, generator()).argmax(1).bincount(minlength=4)
    assert (corners > 400).all()


def test_draws_of_tiny_concentration_are_numbers():
    rows = Dirichlet(1e-6).sample(5, 500, 0.0, generator())
    assert is_on_simplex(rows)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Annealed(temperature=0),
        lambda: Annealed(temperature=True),
        lambda: Annealed(epsilon=-1),
        lambda: Fixed(epsilon=0.7),
        lambda: Fixed(epsilon="small"),
        lambda: Dirichlet(concentration=-1),
        lambda: Dirichlet(concentration=float("nan")),
        lambda: AnnealedDirichlet(concentration=0),
        lambda: AnnealedDirichlet(floor=0),
    ],
)
def test_options_are_checked_when_the_sampler_is_made(make):
    with pytest.raises(UserError, match=r"(temperature|epsilon|concentration|floor) must be above 0"):
        make()


@pytest.mark.parametrize(("num_tasks", "num_preferences"), GRID)
def test_corners_are_reached_exactly_and_come_evenly(num_tasks, num_preferences):
    source, counts = generator(1), torch.zeros(num_tasks)
    for _ in range(40):
        rows = Corners(inner=0.0).sample(num_tasks, num_preferences, 0.3, source)
        assert ((rows == 0) | (rows == 1)).all() and (rows.sum(1) == 1).all()
        counts += rows.sum(0)
    if num_preferences % num_tasks == 0:
        assert (counts == counts[0]).all()
    assert (counts > 0).all()


def test_corners_come_from_the_centre_and_leave_a_share_for_inside():
    sampler = Corners(inner=0.0, until=0.5)
    assert torch.equal(sampler.sample(3, 3, 0.0, generator()), torch.full((3, 3), 1 / 3))
    halfway = sampler.sample(3, 3, 0.25, generator())
    torch.testing.assert_close(halfway, (torch.eye(3) + 1 / 3) / 2)
    assert torch.equal(sampler.sample(3, 3, 0.5, generator()), torch.eye(3))
    rows = Corners(inner=0.25).sample(3, 4000, 1.0, generator())
    assert ((rows.max(1).values < 1).float().mean() - 0.25).abs() < 0.03 and (rows.sum(1) - 1).abs().max() < 1e-5
