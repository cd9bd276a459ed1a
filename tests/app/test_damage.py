"""Whatever is in a folder of runs: listing and every view give a sentence at worst, and all others stay as they are."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from app import jobs
from app.analysis.queries import columns
from app.components import fronts, model_cards, run_comparison, training_figures
from app.components.explorer import front_data
from app.components.quantities import quantities
from app.library import leaderboards, transfer
from app.library.models import ModelRegistry
from app.library.series import series
from app.pictures.scenes import sample_ids
from palora_core.errors import UserError
from tests.app.damage import copied, damage


def read_everything(runs: Path) -> list[str]:
    """All that pages read of the folder of runs, without Streamlit; returns the sentences that were said."""
    said = [job.problem or job.message for job in jobs.jobs()]
    for job in jobs.jobs():
        events = jobs.read_events(jobs.folder_of(job.name))
        trace = run_comparison.RunTrace(job.name, events)
        if trace.tasks and trace.of("step"):
            training_figures.loss_curves(events, trace.tasks).to_json()
            run_comparison.losses([trace]).to_json()
            training_figures.front_film(trace.of("front"), trace.tasks).to_json()
            training_figures.hypervolume_curve(trace.of("front")).to_json()
    registry = ModelRegistry(runs.parent / "none", runs)
    entries = registry.entries()
    boards, problems = leaderboards.read(entries)
    said += problems
    for board in boards:
        known = list(quantities(board).values())
        every = series(board.models)
        fronts.plane(every, known[0], known[-1]).to_json()
    for entry in entries:
        card = model_cards.read(entry)
        said.append(card.problem or "")
        model_cards.row(card), model_cards.thumbnail(card), entry.group_title, entry.short_title
        with contextlib.suppress(UserError):
            transfer.packed(entry)
            loaded = registry.get(entry.id)
            said += loaded.problems
            images = [(image, image) for image in sample_ids(loaded)]
            json.dumps(front_data(loaded, loaded.front) if loaded.front is not None else images).encode()
            _ = [view.legend() for view in loaded.views.values()], loaded.key
            if loaded.front is not None:
                [column.to_json() for column in columns(loaded.front, loaded.tasks)]
            if loaded.samples is not None:
                x, _ = loaded.samples.batch(torch.arange(len(loaded.samples)))
                loaded.model(x[:1], torch.full((loaded.num_tasks,), 1 / loaded.num_tasks))
    for sentence in said:
        sentence.encode()
        assert str(runs) not in sentence
        assert len(sentence) < 3000
    return said


def mutate(whole: Path, runs: Path, seed: int) -> str:
    rng = random.Random(seed)
    folder = copied(whole / rng.choice(("dense", "digits")), runs / "damaged")
    return ", ".join(damage(folder, rng) for _ in range(rng.choice((1, 1, 1, 2, 4))))


def check_seeds(whole: Path, runs: Path, seeds: range) -> None:
    copied(whole / "digits", runs / "sound")
    for seed in seeds:
        told = mutate(whole, runs, seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_everything(runs)
            sound = ModelRegistry(runs.parent / "none", runs).entry("run:sound")
            assert sound.problem is None
            assert not jobs.job("sound").problem
        except Exception as error:
            raise AssertionError(f"seed {seed} ({told}): {type(error).__name__}: {error}") from error
        shutil.rmtree(runs / "damaged")


@pytest.mark.parametrize("part", range(4))
def test_mutated_folders_cost_nobody_anything(whole, runs, part):
    check_seeds(whole, runs, range(30 * part, 30 * part + 30))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_five_thousand_mutated_folders(whole, runs, part):
    check_seeds(whole, runs, range(1000 + 500 * part, 1500 + 500 * part))
