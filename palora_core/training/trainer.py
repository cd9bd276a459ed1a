"""The one training loop: any method on any benchmark, resumable to the bit."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import checkpoint, distributed, normalisation
from palora_core.batches import Caller
from palora_core.data import save_samples
from palora_core.errors import UserError
from palora_core.evaluation import evaluate
from palora_core.files import is_sealed, seal, write_atomically
from palora_core.front import Front
from palora_core.machine import autocast, channels_last_, choose_device, precision_dtype
from palora_core.methods.base import Method, methods
from palora_core.problem import Problem
from palora_core.runs import Observer, Run
from palora_core.simplex import evaluation_preferences
from palora_core.training.card import model_card, run_config
from palora_core.training.engine import choose_engine
from palora_core.training.feed import Feed
from palora_core.training.options import TrainingOptions
from palora_core.training.start import load_start

REPORT_SECONDS = 0.5  # between two noted steps; faster ones would fill the disk and no eye could follow


class _StoppedInFront(Exception):
    """A stop was asked for while a front was evaluated."""


class Trainer:
    """Trains one method on one benchmark in one run folder.

    Args:
        run: the folder; its ``config.json`` is written by :meth:`start`.
        problem: network, objectives and data.
        method: conditioning, balancer, sampler.
        options: training options.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        progress: called with (what, done, total) for a progress bar.
    """

    def __init__(
        self,
        run: Run,
        problem: Problem,
        method: Method,
        options: TrainingOptions,
        device: str = "auto",
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.run = run if distributed.is_main() else Observer(run.folder)
        self.problem, self.method, self.options = problem, method, options
        self.device = choose_device(device)
        self.dtype = precision_dtype(options.precision, self.device)
        self.progress = progress or (lambda what, done, total: None)
        self.objectives = problem.objectives
        self.feed = Feed(problem, options, self.device)
        self.steps_per_epoch, self.total_steps = self.feed.steps_per_epoch, self.feed.total_steps
        self.step = 0  # steps done
        self.seconds = 0.0  # training time of earlier sessions of this run
        self.best: list[float] | None = None
        self.origin: dict[str, Any] | None = None  # what came from options.start_from
        self.reference: tuple[float, ...] | None = tuple(problem.reference) if problem.reference is not None else None
        self._stop = False
        self._began = self._saved = self._reported = time.monotonic()
        self._first_step = 0
        self._build()

    def _build(self) -> None:
        torch.manual_seed(self.options.seed)
        # Weights that are replaced below need not be on this machine.
        network = self.problem.build(pretrained=not (self.options.start_from or self.saved_state.exists()))
        if self.options.start_from and not self.saved_state.exists():
            found = load_start(network, Path(self.options.start_from), self.options.start_partly)
            self.origin = found.to_json()
        self.caller = Caller(network, self.problem.passing)
        self.base_parameters = sum(p.numel() for p in network.parameters())
        self.model = self.method.conditioning.condition(network, len(self.objectives)).to(self.device)
        channels_last_(self.model)
        self.balancer = copy.deepcopy(self.method.balancer)
        self.balancer.setup(len(self.objectives), self.device)
        groups = self.model.parameter_groups(self.options.lr)
        if self.balancer.parameters():
            groups.append({"params": self.balancer.parameters(), "lr": self.options.lr})
        for group in groups:
            group["base_lr"] = group["lr"]
        self.optimizer = torch.optim.Adam(groups, lr=self.options.lr, fused=True)
        distributed.broadcast_(self.model.state_dict().values())
        self.engine, self.engine_chosen = choose_engine(
            self.options.engine,
            self.model,
            self.objectives,
            self.balancer,
            self.dtype,
            self.device,
            self.caller,
            len(self.feed.sources),
        )

    # -- the loop ----------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin a new run: write its configuration, then train."""
        self.run.create(self.config())
        self._train(resumed=False)

    def resume(self) -> None:
        """Continue the run from its last saved state; the result equals that of an uninterrupted run."""
        if self.run.status() == "finished":
            return
        self.load_state()
        self._train(resumed=True)

    def _train(self, resumed: bool) -> None:
        self.run.claim()
        self.run.forget_after(self.step)
        self.run.event(
            "start",
            step=self.step,
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.options.epochs,
            tasks=[task.name for task in self.objectives],
            resumed=resumed,
            engine=self.engine_chosen,
            **({"origin": self.origin["sentence"]} if self.origin else {}),
        )
        self._began = self._saved = time.monotonic()
        self._reported, self._first_step = 0.0, self.step
        with self._signals():
            try:
                finished = self._to_the_end()
                self.run.event("end", step=self.step, reason="finished" if finished else "stopped")
            except Exception as error:
                message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                with suppress(UserError):  # where the disk is full, this is not written either
                    self.run.event("error", step=self.step, message=message)
                raise
            finally:
                self.run.release()

    def _to_the_end(self) -> bool:
        """Train, then write the model (True); or stop on the way (False)."""
        try:
            if not self._loop():
                return False
            self._finish()
        except _StoppedInFront:  # the state was saved before the front was begun, and a resume makes it again
            return False
        return True

    def _loop(self) -> bool:
        """Train to the end (True) or to a stop (False)."""
        if self.step and self.step % self.steps_per_epoch == 0:
            self._end_of_epoch_work()
        if not self.step and self.options.start_from:
            self._front_event(self.front("val", self.options.front_points or None))  # where an expansion starts
        while self.step < self.total_steps:
            first = self.step % self.steps_per_epoch
            heard = torch.zeros(len(self.objectives), dtype=torch.bool, device=self.device)
            for index in range(first, self.steps_per_epoch):
                losses, preferences = self._train_step()
                self._report(losses, preferences)
                heard |= (losses != 0).any(0)
                if index == self.steps_per_epoch - 1:
                    break  # the end of an epoch is saved below, after the balancer has seen it
                if self._stop_wanted():
                    self.save_state()
                    return False
                if time.monotonic() - self._saved > self.options.checkpoint_seconds:
                    self.save_state()
            self.balancer.end_epoch()
            if first == 0:
                self._say_silent(heard)
            self.save_state()
            if self._stop_wanted() and self.step < self.total_steps:
                return False  # the front of this epoch is made on resuming
            self._end_of_epoch_work()
        return True

    def _say_silent(self, heard: Tensor) -> None:
        """Note the tasks whose loss was exactly 0 over a whole epoch."""
        silent = [task.name for task, found in zip(self.objectives, heard.tolist()) if not found]
        if silent:
            names = " and ".join(silent)
            self.run.event(
                "warning",
                step=self.step,
                message=f"The loss of {names} was exactly 0 in the whole epoch: nothing was learnt from it. Check that "
                "the training split has targets for it, and which ones are ignored.",
            )

    def _stop_wanted(self) -> bool:
        return distributed.any_rank(self._stop or self.run.stop_requested())

    def _train_step(self) -> tuple[Tensor, Tensor]:
        portions = self.feed.training(self.step)
        preferences = self.method.sampler.sample(
            len(self.objectives), self.method.num_preferences, self.tau, self.feed.generator("preferences", self.step)
        ).to(self.device)
        self.model.train()
        self.model.progress(self.tau)
        self._set_lr()
        self.optimizer.zero_grad(set_to_none=True)
        lr = self.optimizer.param_groups[0]["lr"]
        try:
            losses, step = self.engine(portions, preferences, lambda: self.feed.held_out(self.step), lr)
        except (FloatingPointError, torch.linalg.LinAlgError) as error:  # a solver was given NaN
            raise self._diverged("The gradients", self.engine.losses_at(portions, preferences[-1])[None]) from error
        distributed.average_(self._shared_by_ranks())
        self._check(losses)
        self._lay_out_gradients()
        self.optimizer.step()
        try:
            self.balancer.after_step(step, lambda: self.engine.losses_at(portions, step.preference))
        except FloatingPointError as error:
            raise self._diverged("The losses", self.engine.losses_at(portions, step.preference)[None]) from error
        self.step += 1
        return losses, preferences

    def _trained(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _lay_out_gradients(self) -> None:
        """Give every gradient its parameter's strides: fused Adam pairs the two by their place in memory."""
        for parameter in self._trained():
            if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)

    def _shared_by_ranks(self) -> list[Tensor]:
        """What the ranks average after each step's passes: gradients, and BatchNorm's running statistics."""
        layers = normalisation.batch_norms(self.model)
        statistics = [layer._buffers[name] for layer in layers for name in ("running_mean", "running_var")]
        return [tensor for tensor in [*(p.grad for p in self._trained()), *statistics] if tensor is not None]

    @property
    def tau(self) -> float:
        """Training time τ of the coming step: 0 at the first, 1 at the last."""
        return self._tau_at(self.step)

    def _tau_at(self, step: int) -> float:
        return min(1.0, step / max(1, self.total_steps - 1))

    def _set_lr(self) -> None:
        passed = sum(self.step >= fraction * self.total_steps for fraction in self.options.lr_milestones)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * self.options.lr_factor**passed

    def _check(self, losses: Tensor) -> None:
        """Refuse a step with NaN in it, or with gradients whose squares float32 has no numbers for.

        Adam keeps those squares; an infinite one would hold its parameter for good, and nothing would say so.
        """
        size = torch.nn.utils.get_total_norm([p.grad for p in self._trained() if p.grad is not None])
        if torch.isfinite(losses).all() & torch.isfinite(size):  # one wait for the device
            return
        bad = [task.name for task, column in zip(self.objectives, losses.t()) if not torch.isfinite(column).all()]
        raise self._diverged(f"The loss of {' and '.join(bad)}" if bad else "The gradients", losses)

    def _diverged(self, what: str, losses: Tensor) -> UserError:
        means = zip(self.objectives, losses.mean(0).tolist())
        return UserError(
            f"{what} became NaN or infinite at step {self.step + 1}; the last good state is kept. The losses were "
            f"{', '.join(f'{task.name} {mean:.4g}' for task, mean in means)}: scale down one that is out of "
            "proportion, lower --set lr=…, or use --set precision=fp32, and start again."
        )

    # -- evaluation --------------------------------------------------------------------------------------------------
    def calibrate(self) -> None:
        """Estimate BatchNorm statistics per preference from the first training items, where that is wanted."""
        if self.options.batch_norm == "running":
            return
        with autocast(self.device, self.dtype):
            normalisation.calibrate(self.model, self.feed.calibration, self.caller)
        distributed.broadcast_(self.model.buffers())

    def front(self, split: str, points: int | None = None) -> Front:
        """The model's front on a split."""
        tasks = len(self.objectives)
        grid = evaluation_preferences(tasks, points) if points and self.model.controllable else None
        about = {
            "benchmark": self.problem.name,
            "method": methods.name_of(self.method),
            "title": self.method.title,
            "split": split,
            "items": self.problem.items(split),
            "seed": self.options.seed,
            "step": self.step,
            "batch_norm": self.options.batch_norm,
        }
        front = evaluate(
            self.model.eval(),
            self.problem.sources[split],
            self.objectives,
            self.reference,
            grid,
            self.options.eval_batch_size,
            self.dtype,
            progress=lambda done, total: self._front_progress(split, done, total),
            about=about,
            passing=self.problem.passing,
        )
        self.reference = front.reference  # proposed from the first front where the problem has none
        return front

    def _front_progress(self, split: str, done: int, total: int) -> None:
        self.progress(f"{split} front", done, total)
        if done < total and self.step and self._stop_wanted():
            raise _StoppedInFront

    def _end_of_epoch_work(self) -> None:
        """Front on the validation split and the best weights so far; a function of the saved state alone."""
        epoch = self.step // self.steps_per_epoch
        every = self.options.evaluate_every
        last = epoch == self.options.epochs
        if not last and (every <= 0 or epoch % every):
            return
        self.calibrate()
        front = self.front("val", self.options.front_points or None)
        summary = self._front_event(front)
        known = front.objectives[np.isfinite(front.objectives)]  # a task without labels in the split has no loss there
        score = [summary["hypervolume"], -float(known.mean() if known.size else 0)]
        if self.best is None or score > self.best:
            self.best = score
            if distributed.is_main():
                checkpoint.save(self.run.folder, self.model, self.card(front), "best.safetensors")

    def _front_event(self, front: Front) -> dict[str, Any]:
        summary = front.summary()
        self.run.event(
            "front",
            step=self.step,
            epoch=self.step // self.steps_per_epoch,
            split="val",
            preferences=front.preferences.round(4).tolist(),
            objectives=front.objectives.tolist(),
            metrics={name: values.tolist() for name, values in front.metrics.items()},
            hypervolume=summary["hypervolume"],
            spearman=[_number(value) for value in summary["spearman"]],
        )
        return summary

    def _finish(self) -> None:
        self.calibrate()
        front = self.front("test")
        if not distributed.is_main():
            return
        front.save(self.run.folder / "front.json")
        save_samples(self.run.folder / "samples.npz", self.problem.sources["test"][0].split, self.options.samples)
        checkpoint.save(self.run.folder, self.model, self.card(front))

    # -- what is written ---------------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """The run's configuration, enough to build this trainer again."""
        return run_config(self.problem, self.method, self.options)

    def card(self, front: Front) -> dict[str, Any]:
        """The model card of the weights as they are now."""
        progress = {
            "steps": self.step,
            "seconds": round(self.elapsed),
            "train_items": self.problem.items("train"),
            "finished": self.step >= self.total_steps,
        }
        parts = self.problem, self.method, self.options, self.model, self.base_parameters
        return model_card(*parts, progress, front, self.origin)

    @property
    def elapsed(self) -> float:
        """Training seconds of this run, earlier sessions included."""
        return self.seconds + time.monotonic() - self._began

    def _report(self, losses: Tensor, preferences: Tensor) -> None:
        self.progress("training", self.step, self.total_steps)
        now = time.monotonic()
        last = self.step == self.total_steps
        if not last and now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        done = self.step - self._first_step
        self.run.event(
            "step",
            step=self.step,
            epoch=(self.step - 1) // self.steps_per_epoch + 1,
            tau=round(self._tau_at(self.step - 1), 4),  # the one that these preferences were chosen at
            losses=[round(value, 6) for value in losses.mean(0).tolist()],
            preferences=[[round(value, 4) for value in row] for row in preferences.tolist()],
            seconds_left=round((self.total_steps - self.step) * (now - self._began) / done, 1),
        )

    @property
    def saved_state(self) -> Path:
        """The file that an exact resume reads."""
        return self.run.folder / "state.pt"

    def save_state(self) -> None:
        """Write everything that an exact resume needs, atomically; never a state with NaN in it."""
        if any(not torch.isfinite(parameter).all() for parameter in self.model.parameters()):
            raise UserError(
                f"The weights became NaN or infinite at step {self.step}; the last good state is kept. Lower "
                "--set lr=…, or use --set precision=fp32, and start again."
            )
        state = {
            "step": self.step,
            "seconds": self.elapsed,
            "best": self.best,
            "origin": self.origin,
            "reference": self.reference,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(self.device)
        if distributed.is_main():
            write_atomically(self.saved_state, lambda path: _save_sealed(state, path))
        self._saved = time.monotonic()

    def load_state(self) -> None:
        """Continue from ``state.pt``; from the beginning where the run was killed before its first one."""
        path = self.saved_state
        if not path.exists():
            return
        if not is_sealed(path):
            raise UserError(
                f"{path} is damaged or belongs to another run or version: its content is not what its hash says. Start "
                "a new run instead, with --set start_from=… from the weights of this one if you like."
            )
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            checkpoint.load_weights(self.model, state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.balancer.load_state_dict(state["balancer"])
            torch.set_rng_state(state["rng"].cpu())
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(state["device_rng"].cpu(), self.device)
            self.step, self.seconds, self.best = int(state["step"]), float(state["seconds"]), state["best"]
            self.origin, self.reference = state["origin"], state["reference"]
            distributed.broadcast_(self.model.state_dict().values())
        except Exception as error:  # torch reports damage in many ways
            raise UserError(
                f"{path} is damaged or belongs to another run ({type(error).__name__}); start a new run instead."
            ) from None

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask for a stop after the current step."""

        def stop(*_: Any) -> None:
            self._stop = True

        try:
            before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread: stop files still work
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _save_sealed(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path)
    seal(path)


def _number(value: float) -> float | None:
    return None if value != value else value
