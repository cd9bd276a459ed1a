"""The simplex Δ_T of preferences: lattices, evenly spread point sets, projection and checks."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from palora_core.errors import UserError

_MOST_POINTS = 1_000_000
_LATTICE_PARTITIONS = {2: 10, 3: 10, 4: 5, 5: 4, 6: 3}  # 11, 66, 56, 70 and 56 points
_MANY_TASKS_POINTS = 64
_MANY_TASKS_EDGES = 32


def simplex_lattice(num_tasks: int, partitions: int) -> Tensor:
    """All preferences whose weights are multiples of 1/partitions (Das & Dennis, 1998).

    Rows are in descending lexicographic order: for two tasks the first is (1, 0) and the last (0, 1).

    Args:
        num_tasks: Number of tasks T, at least 1.
        partitions: Number of steps p along an edge, at least 1.

    Returns:
        Preferences [K, T] with K = C(p + T - 1, T - 1), float32.
    """
    _at_least("num_tasks", num_tasks, 1)
    _at_least("partitions", partitions, 1)
    count = math.comb(partitions + num_tasks - 1, num_tasks - 1)
    if count > _MOST_POINTS:
        raise UserError(
            f"a lattice of {partitions} partitions over {num_tasks} tasks has {count} points; "
            f"expected at most {_MOST_POINTS}, so use fewer partitions or simplex_points"
        )
    rows = torch.tensor(list(_compositions(num_tasks, partitions)), dtype=torch.float64)
    return (rows / partitions).float()


def simplex_points(num_tasks: int, num_points: int) -> Tensor:
    """Exactly `num_points` evenly spread preferences, in which every task has mean weight 1/T.

    The lattice where `num_points` is the size of one, the centre for a single point, and otherwise points that repel
    each other (Riesz energy; Blank, Deb, Dhebar, Bandaru & Seada, 2021) under the constraint that their mean is the
    centre. The result depends on the two arguments only. Rows are in descending order of their first weights.

    Args:
        num_tasks: Number of tasks T, at least 1.
        num_points: Number of points M, at least 1.

    Returns:
        Preferences [M, T], float32.
    """
    _at_least("num_tasks", num_tasks, 1)
    _at_least("num_points", num_points, 1)
    return torch.tensor(even_points(num_tasks, num_points)).float()


@functools.lru_cache(maxsize=256)
def even_points(num_tasks: int, num_points: int) -> np.ndarray:
    """The points of `simplex_points` in double precision, computed once: read-only [M, T]."""
    partitions = _partitions_for(num_tasks, num_points)
    if num_points == 1 or num_tasks == 1:
        points = np.full((num_points, num_tasks), 1.0 / num_tasks)
    elif partitions is not None:
        points = np.array(list(_compositions(num_tasks, partitions)), dtype=np.float64) / partitions
    else:
        points = _repelled_points(num_tasks, num_points)
    points.setflags(write=False)
    return points


def project_to_simplex(vector: Tensor) -> Tensor:
    """The nearest point of the simplex in Euclidean distance (Duchi et al., 2008), row by row.

    Args:
        vector: Any real vectors [..., T].

    Returns:
        Vectors of the same shape with weights ≥ 0 that sum to 1.
    """
    descending = vector.sort(dim=-1, descending=True).values
    ranks = torch.arange(1, vector.shape[-1] + 1, device=vector.device, dtype=vector.dtype)
    thresholds = (descending.cumsum(dim=-1) - 1) / ranks
    support = (descending > thresholds).sum(dim=-1, keepdim=True).clamp(min=1)
    return (vector - thresholds.gather(-1, support - 1)).clamp(min=0)


def check_preference(preference: Tensor | np.ndarray | Sequence[float], num_tasks: int) -> Tensor:
    """A preference from a caller as a tensor, after checking that it is T finite real numbers.

    Signs and sums are free: preferences off the simplex (pseudo-preferences) are allowed. A floating point tensor is
    handed back as it is, on its device; anything else becomes float32.

    Args:
        preference: One weight per task [T].
        num_tasks: Number of tasks T.

    Returns:
        The preference [T].

    Raises:
        UserError: If it has another shape, or holds anything but finite real numbers.
    """
    wanted = f"expected {num_tasks} finite numbers, one weight per task"
    tensor = _numbers(preference, wanted)
    if tuple(tensor.shape) != (num_tasks,):
        found = f"{len(tensor)} numbers" if tensor.ndim == 1 else f"the shape {list(tensor.shape)}"
        raise UserError(f"the preference has {found}; {wanted}")
    return _finite(tensor, wanted)


def check_preferences(preference: Tensor | np.ndarray | Sequence[Any], num_tasks: int) -> Tensor:
    """The same for one preference [T] or several, one per sample [B, T]."""
    wanted = f"expected {num_tasks} finite numbers, one weight per task, for all samples or for each"
    tensor = _numbers(preference, wanted)
    if tensor.ndim == 1:
        return check_preference(preference, num_tasks)
    if tensor.ndim != 2 or tensor.shape[1] != num_tasks or not len(tensor):
        raise UserError(f"the preference has the shape {list(tensor.shape)}; {wanted}")
    return _finite(tensor, wanted)


def _numbers(preference: Any, wanted: str) -> Tensor:
    try:
        tensor = preference if isinstance(preference, Tensor) else torch.as_tensor(np.asarray(preference))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"the preference {preference!r} is not made of numbers; {wanted}") from error
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise UserError(f"the preference is of type {tensor.dtype}; {wanted}")
    return tensor if isinstance(preference, Tensor) and tensor.is_floating_point() else tensor.float()


def _finite(tensor: Tensor, wanted: str) -> Tensor:
    if has_values(tensor) and not bool(torch.isfinite(tensor).all()):
        raise UserError(f"the preference {tensor.tolist()} is not finite; {wanted}")
    return tensor


def has_values(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor can be looked at; not while it is traced, batched by vmap or without data."""
    if torch.compiler.is_compiling():
        return False
    traced = torch._C._are_functorch_transforms_active() or torch.jit.is_tracing()
    return not (traced or tensor.is_meta or isinstance(tensor, FakeTensor))


def is_on_simplex(preference: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether all rows of [..., T] have weights ≥ 0 that sum to 1, up to `tolerance`."""
    nonnegative = preference >= -tolerance
    sums = (preference.sum(dim=-1) - 1).abs() <= tolerance
    return bool(nonnegative.all()) and bool(sums.all())


def evaluation_preferences(num_tasks: int, points: int | None = None) -> Tensor:
    """The preferences at which a front is evaluated.

    By default a lattice for up to six tasks: 11, 66, 56, 70 and 56 points for T = 2 … 6, the first two being the
    paper's. From seven tasks on a lattice is either only corners and edges or far too large, so it is the T corners,
    the centre, at most 32 mid-points of edges (chosen so that tasks take turns) and preferences drawn uniformly with
    a fixed seed, 64 + T in all.

    Args:
        num_tasks: Number of tasks T, at least 1.
        points: Number of points K wanted instead: spread by `simplex_points`, but from seven tasks on, where K is more
            than T, made up like the default.

    Returns:
        Preferences [K, T], float32.
    """
    _at_least("num_tasks", num_tasks, 1)
    if points is not None:
        _at_least("num_points", points, 1)
        if num_tasks <= max(_LATTICE_PARTITIONS) or points <= num_tasks:
            return simplex_points(num_tasks, points)
    if num_tasks == 1:
        return torch.ones(1, 1)
    if num_tasks in _LATTICE_PARTITIONS:
        return simplex_lattice(num_tasks, _LATTICE_PARTITIONS[num_tasks])
    corners = np.eye(num_tasks)
    others = _MANY_TASKS_POINTS if points is None else points - num_tasks
    edges = [(corners[i] + corners[j]) / 2 for i, j in _edges(num_tasks)][: min(_MANY_TASKS_EDGES, others // 2)]
    inner = np.random.default_rng(0).dirichlet(np.ones(num_tasks), size=others - 1 - len(edges))
    rows = np.concatenate([corners, np.full((1, num_tasks), 1 / num_tasks), *(row[None] for row in edges), inner])
    return torch.from_numpy(rows).float()


def describe_preferences(preferences: Sequence[Sequence[float]] | np.ndarray | Tensor) -> str:
    """What a set of preferences [K, T] is made of, in words: "71 preferences: 7 corners, the centre, …"."""
    rows = np.asarray(preferences, dtype=np.float64)
    weighted = (np.abs(rows) > 1e-6).sum(1)
    on_simplex = (rows > -1e-6).all(1) & (np.abs(rows.sum(1) - 1) < 1e-4)
    centre = on_simplex & (np.abs(rows - 1 / rows.shape[1]).max(1) < 1e-4)
    middle = on_simplex & ~centre & (weighted == 2) & (np.abs(rows.max(1) - 0.5) < 1e-4)
    plain = on_simplex & ~centre & ~middle
    kinds = [
        (plain & (weighted == 1), "{} corner{s}"),
        (centre, "the centre"),
        (middle, "{} mid-point{s} of edges"),
        (plain & (weighted > 1) & (weighted < rows.shape[1]), "{} other{s} on edges and faces"),
        (plain & (weighted > 1) & (weighted == rows.shape[1]), "{} inside"),
        (~on_simplex, "{} off the simplex"),
    ]
    counts = [(int(which.sum()), words) for which, words in kinds]
    found = [words.format(count, s="" if count == 1 else "s") for count, words in counts if count]
    return f"{len(rows)} preference{'' if len(rows) == 1 else 's'}: {', '.join(found)}"


def _compositions(parts: int, total: int) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as an ordered sum of `parts` integers ≥ 0, largest first part first."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(parts - 1, total - first):
            yield (first, *rest)


def _edges(num_tasks: int) -> Iterator[tuple[int, int]]:
    """All pairs of tasks, neighbours first, so that a cut after any number of them treats tasks alike."""
    for offset in range(1, num_tasks // 2 + 1):
        # Half way round an even circle every pair would come twice.
        starts = num_tasks // 2 if 2 * offset == num_tasks else num_tasks
        for start in range(starts):
            yield start, (start + offset) % num_tasks


def _partitions_for(num_tasks: int, num_points: int) -> int | None:
    """The partitions of the lattice with exactly `num_points` points, if there is one."""
    partitions = 1
    while num_tasks > 1 and (count := math.comb(partitions + num_tasks - 1, num_tasks - 1)) <= num_points:
        if count == num_points:
            return partitions
        partitions += 1
    return None


def _repelled_points(num_tasks: int, num_points: int, starts: int = 8, steps: int = 150) -> np.ndarray:
    """The best of a few relaxations of the Riesz energy Σ 1/d^12 from seeded random points: [M, T]."""
    rng = np.random.default_rng(0)
    best, lowest = np.empty(0), math.inf
    for _ in range(starts):
        points = _to_centred(rng.dirichlet(np.full(num_tasks, 0.7), size=num_points), rounds=100)
        for step in range(steps):
            pull = _squared_distances(points) ** -7.0
            force = pull.sum(axis=1, keepdims=True) * points - pull @ points
            size = np.linalg.norm(force, axis=1, keepdims=True)
            # Forces span many orders of magnitude; their square roots let crowded and free points move together.
            # Steps shrink to nothing, so that the points come to rest.
            move = force / np.sqrt(size * size.max() + 1e-300)
            points = _to_centred(points + 0.2 * (1 - step / steps) ** 2 * move, rounds=3)
        points = _to_centred(points, rounds=20_000)
        energy = float((_squared_distances(points) ** -6.0).sum())
        if energy < lowest:
            best, lowest = points, energy
    return best[np.lexsort(best.T[::-1])[::-1]]


def _squared_distances(points: np.ndarray) -> np.ndarray:
    """Squared distances between all pairs [M, M], infinite from a point to itself."""
    norms = (points**2).sum(axis=1)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * points @ points.T, 1e-9)
    np.fill_diagonal(distances, np.inf)
    return distances


def _to_centred(points: np.ndarray, rounds: int) -> np.ndarray:
    """Points [M, T] moved, by turns, to mean 1/T per task and onto the simplex until both hold."""
    num_points, num_tasks = points.shape
    for _ in range(rounds):
        points = points - points.mean(axis=0) + 1 / num_tasks
        # project_to_simplex again, in NumPy: on a few rows, thousands of times, it is three times as fast.
        descending = -np.sort(-points, axis=1)
        thresholds = (descending.cumsum(axis=1) - 1) / np.arange(1, num_tasks + 1)
        support = (descending > thresholds).sum(axis=1)
        points = np.maximum(points - thresholds[np.arange(num_points), support - 1, None], 0)
        if np.abs(points.mean(axis=0) - 1 / num_tasks).max() < 1e-10:
            break
    return points


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"{name} is {value!r}; expected a whole number of at least {least}")
