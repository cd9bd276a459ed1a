"""Sweeps over settings: Optuna on a journal file or a database, one process per trial, on any number of machines.

A sweep is a list of points (settings of a run), filed once as waiting trials. Workers take them one after another;
taking one is atomic in the journal, so no point is trained twice however many workers join, and a worker that
starts later, or again, goes on with what is left. Objectives are the hypervolume (up) and the worst Spearman
correlation of λ_t and loss t over the tasks (down; −1 is perfect alignment), read from each run's ``front.json``.

This is the only module of the package that imports Optuna.
"""

from __future__ import annotations

import itertools
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palora_core.errors import UserError, one_line
from palora_core.evaluation.front import Front
from palora_core.storage.runs import is_alive, process_start
from palora_core.storage.writing import write_json

Point = dict[str, str]

ABLATION_SAMPLERS: tuple[Point, ...] = (
    # The paper's annealed temperatures 1, 2, 5 multiply τ; ours divide it.
    *({"sampler": "annealed", "temperature": value} for value in ("1.0", "0.5", "0.2")),
    {"sampler": "fixed"},
    *({"sampler": "annealed_dirichlet", "concentration": value} for value in ("1.0", "2.0", "5.0")),
    *({"sampler": "dirichlet", "concentration": value} for value in ("1.0", "2.0", "5.0")),
)


def grid(parameters: Mapping[str, Sequence[str]]) -> list[Point]:
    """All combinations of the parameters' values."""
    names = list(parameters)
    return [dict(zip(names, values)) for values in itertools.product(*parameters.values())]


def ablation() -> list[Point]:
    """§5.5 of the paper: M × α × {deterministic, Dirichlet} × {annealed, fixed} × temperatures; 160 runs."""
    sizes = grid({"num_preferences": ("3", "5", "7", "9"), "alpha": ("1", "2", "5", "10")})
    return [{**size, **sampler} for size in sizes for sampler in ABLATION_SAMPLERS]


@dataclass(frozen=True)
class Sweep:
    """A folder with the journal and a run folder per point.

    Attributes:
        folder: shared by all workers.
        points: settings per run; the same list in every worker.
        train: (settings, run folder) → exit status, by training in a process of its own.
        storage: address of a database that Optuna writes to (``postgresql://…``) in place of the journal, for workers
            that share no file system; the study is called like the folder.
        score: run folder → the two objectives; by default of the test front that training leaves.
    """

    folder: Path
    points: Sequence[Point]
    train: Callable[[Point, Path], int]
    storage: str = ""
    score: Callable[[Path], tuple[float, float]] | None = None

    def work(self, trials: int | None = None) -> int:
        """Take points until none (or ``trials`` of them) are left; returns how many were trained.

        Raises:
            UserError: the journal belongs to a sweep over other points.
        """
        study = self._study()
        self._file_again(study)
        done = 0
        while done != trials and _waiting(study):
            trial = study.ask()
            point = trial.user_attrs.get("point")
            if point is None:  # another worker took the last one between the question and the answer
                study.tell(trial, state=_states().FAIL)
                break
            trial.set_user_attr("worker", _worker())
            for name, value in point.items():
                assert trial.suggest_categorical(name, self._choices(name)) == value
            self._run(study, trial, point)
            done += 1
        return done

    def _choices(self, name: str) -> list[str]:
        return list(dict.fromkeys(point[name] for point in self.points if name in point))

    def _run(self, study: Any, trial: Any, point: Point) -> None:
        folder = self.folder / "runs" / folder_name(point)
        began = time.monotonic()
        try:
            status = self.train(point, folder)
            score = self.score or (lambda folder: objectives(Front.load(folder / "front.json")))
            values = score(folder) if status == 0 else None
        except UserError:
            values = None
        trial.set_user_attr("seconds", round(time.monotonic() - began, 1))
        if values is None:
            study.tell(trial, state=_states().FAIL)
        else:
            study.tell(trial, values)

    def _study(self) -> Any:
        """The study of all workers; whoever makes it files the points."""
        optuna = _optuna()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self.folder.resolve().name if self.storage else "sweep"
        options = {"study_name": name, "storage": self._kept(), "sampler": optuna.samplers.RandomSampler(seed=0)}
        try:
            study = optuna.create_study(directions=["maximize", "minimize"], **options)
            study.set_user_attr("points", [dict(point) for point in self.points])
            self._file(study)
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(**options)
            self._join(study)
        return study

    def _kept(self) -> Any:
        """Where the study is kept.

        Raises:
            UserError: a database that does not answer, or whose driver is not installed.
        """
        optuna = _optuna()
        if not self.storage:
            journal = optuna.storages.journal.JournalFileBackend(str(self.folder / "journal.log"))
            return optuna.storages.JournalStorage(journal)
        try:
            return optuna.storages.RDBStorage(self.storage)
        except Exception as error:  # SQLAlchemy's and each driver's own kinds
            place = self.storage.rpartition("@")[2]  # without a password
            raise UserError(
                f"The database {place} cannot be used ({type(error).__name__}: {one_line(error)}); check its address, "
                "that it answers, and that its driver is installed (psycopg2-binary for PostgreSQL)."
            ) from None

    def _file(self, study: Any) -> None:
        for point in self.points:
            study.enqueue_trial(dict(point), user_attrs={"point": dict(point)}, skip_if_exists=True)
        study.set_user_attr("filed", True)

    def _join(self, study: Any) -> None:
        for _ in range(100):  # the first worker may still be filing; if it was killed doing so, go on for it
            if study.user_attrs.get("filed"):
                break
            time.sleep(0.1)
        if study.user_attrs.get("points", []) != [dict(point) for point in self.points]:
            raise UserError(f"{self.folder} holds a sweep over other points; choose another folder for this one.")
        if not study.user_attrs.get("filed"):
            self._file(study)

    def _file_again(self, study: Any) -> None:
        """Points whose worker on this machine was killed wait again; their runs continue where they were."""
        for trial in study.get_trials(deepcopy=False, states=(_states().RUNNING,)):
            worker = trial.user_attrs.get("worker", {})
            if worker.get("host") == socket.gethostname() and not is_alive(worker):
                study.tell(trial.number, state=_states().FAIL)
                point = trial.user_attrs["point"]
                study.enqueue_trial(point, user_attrs={"point": point})

    def results(self) -> list[dict[str, Any]]:
        """Finished points: settings, hypervolume, worst Spearman, seconds, folder; best hypervolume first."""
        trials = self._study().get_trials(deepcopy=False, states=(_states().COMPLETE,))
        rows = [
            {
                "settings": trial.params,
                "hypervolume": trial.values[0],
                "worst_spearman": trial.values[1],
                "seconds": trial.user_attrs.get("seconds"),
                "folder": f"runs/{folder_name(trial.params)}",
            }
            for trial in trials
        ]
        return sorted(rows, key=lambda row: -row["hypervolume"])

    def failed(self) -> list[Path]:
        """Run folders of the points whose last training failed."""
        trials = self._study().get_trials(deepcopy=False)
        last = {folder_name(trial.user_attrs["point"]): trial for trial in trials if "point" in trial.user_attrs}
        return [self.folder / "runs" / name for name, trial in last.items() if trial.state == _states().FAIL]

    def save_results(self) -> Path:
        """Write ``results.json``: all finished points, and how many there are to be."""
        path = self.folder / "results.json"
        write_json(path, {"format": 1, "points": len(self.points), "results": self.results()})
        return path


def objectives(front: Front) -> tuple[float, float]:
    """(hypervolume, worst Spearman over the tasks); a correlation that is not defined counts as none, 0."""
    correlations = [0.0 if math.isnan(value) else value for value in front.spearman()]
    return front.hypervolume(), max(correlations)


def folder_name(point: Mapping[str, Any]) -> str:
    """A run folder's name from its settings."""
    text = "-".join(f"{name}={value}" for name, value in sorted(point.items()))
    return "".join(c if c.isalnum() or c in "-=.,_" else "_" for c in text)


def parse_parameters(pairs: Iterator[str] | Sequence[str]) -> dict[str, list[str]]:
    """``["rank=1,2", "alpha=1,5"]`` as lists of values.

    Raises:
        UserError: not of this form.
    """
    result: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, values = pair.partition("=")
        found = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not name.strip() or not found:
            raise UserError(f"--param takes name=value,value,…, found {pair!r}.")
        result[name.strip()] = found
    return result


def _waiting(study: Any) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(_states().WAITING,)))


def _worker() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": process_start(os.getpid())}


def _states() -> Any:
    return _optuna().trial.TrialState


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("Sweeps need the package optuna; install it with: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
