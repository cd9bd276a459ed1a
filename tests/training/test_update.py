"""Options of the optimisation step, each against the same few lines of plain PyTorch, in float64."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import palora_core as pc
from palora_core.data import LoaderSplit
from palora_core.errors import UserError
from palora_core.problem import Problem
from palora_core.storage.runs import Run
from palora_core.tasks import Regression
from palora_core.training.live import Live
from palora_core.training.setup import configure_problem
from palora_core.training.trainer import Trainer
from tests.training.nets import Net, arrays, equal

BASE = {"epochs": 2, "batch_size": 8, "lr": 0.05, "evaluate_every": 0, "samples": 2}
LAMBDA = (0.25, 0.75)  # exact in single precision, in which they are drawn


def loss_of(name):
    return lambda outputs, batch: (outputs[name][:, 0] - batch[1][name]).square().mean()


def exact(items=64) -> Problem:
    """A problem in double precision, whose losses are those of the lines below."""
    torch.manual_seed(0)
    x, targets = arrays(items)
    data = x.double(), {name: values.double() for name, values in targets.items()}
    return Problem(Net().double(), {name: loss_of(name) for name in ("a", "b")}, data, data, data)


def trainer(folder, method="ls", live=None, **settings) -> Trainer:
    problem = exact()
    given = {"preference": LAMBDA, **BASE, **settings} if method == "ls" else {**BASE, **settings}
    chosen, options = configure_problem(problem, method, given)
    return Trainer(Run(folder), problem, chosen, options, device="cpu", live=live)


def plainly(work, make, schedule=None, clip=0.0, decay=0.0) -> nn.Module:
    """What a loop without this library makes of the same batches."""
    network = exact().build()
    network.load_state_dict(work.model.network.state_dict())
    optimizer = make(network.parameters())
    scheduler = schedule(optimizer) if schedule else None
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
    for step in range(work.total_steps):
        optimizer.zero_grad()
        batches = work.feed.training(step)
        for (portion,) in batches:
            outputs = network(portion.batch[0])
            losses = [loss_of(name)(outputs, portion.batch) for name in ("a", "b")]
            (sum(weight * loss for weight, loss in zip(LAMBDA, losses)) / len(batches)).backward()
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        if scheduler:
            scheduler.step()
        if average:
            average.update_parameters(network)
    return average.module if average else network


def sequential(optimizer, warmup, rest):
    rise = schedulers.LinearLR(optimizer, 1 / warmup, 1.0, warmup - 1)
    return schedulers.SequentialLR(optimizer, [rise, rest], [warmup])


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.05)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def sgd_by_part(parameters):
    trunk, a, b = ([*pair] for pair in zip(*[iter(parameters)] * 2))
    rates = ((trunk, 0.05), (a, 0.005), (b, 0.15))
    return torch.optim.SGD([{"params": pair, "lr": rate} for pair, rate in rates])


CASES = {
    "adam": ({}, adam),
    "adam, betas and decay": (
        {"betas": (0.5, 0.9), "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.9), weight_decay=0.1),
    ),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    ),
    "sgd": (
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    ),
    "parts": ({"optimizer": "sgd", "lr_parts": "heads.b=3, heads=0.1"}, sgd_by_part),
    "clipping": ({"optimizer": "sgd", "clip_norm": 0.3}, sgd, None, 0.3),
    "moving average": ({"ema": 0.8}, adam, None, 0.0, 0.8),
    "accumulation": ({"accumulate": 2}, adam),
    "milestones": (
        {"lr_milestones": (0.25, 0.5), "lr_factor": 0.1},
        adam,
        lambda o: schedulers.MultiStepLR(o, [4, 8], 0.1),
    ),
    "cosine": ({"schedule": "cosine"}, sgd, lambda o: schedulers.CosineAnnealingLR(o, 16)),
    "linear": ({"schedule": "linear"}, sgd, lambda o: schedulers.LinearLR(o, 1.0, 0.0, 16)),
    "constant": ({"schedule": "constant", "lr_milestones": (0.5,)}, sgd),
    "warm-up, cosine": (
        {"schedule": "cosine", "warmup": 4},
        sgd,
        lambda o: sequential(o, 4, schedulers.CosineAnnealingLR(o, 12)),
    ),
    "warm-up as a fraction, linear": (
        {"schedule": "linear", "warmup": 0.25},
        sgd,
        lambda o: sequential(o, 4, schedulers.LinearLR(o, 1.0, 0.0, 12)),
    ),
    "warm-up, constant": (
        {"schedule": "constant", "warmup": 4},
        sgd,
        lambda o: schedulers.LinearLR(o, 0.25, 1.0, 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_options_do_what_plain_pytorch_does(tmp_path, case):
    settings, make, *rest = CASES[case]
    settings = {"optimizer": "sgd", **settings} if make is sgd else settings
    work = trainer(tmp_path / "run", **settings)
    expected = plainly(work, make, *rest).state_dict()
    work.start()
    saved, _ = pc.load(tmp_path / "run", network=Net().double())
    for name, tensor in saved.network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-12, atol=1e-13, msg=name)


def test_each_case_is_another_result(tmp_path):
    """None of the options above is idle: no two of the cases end alike, but for those that are meant to."""
    seen = {}
    for case, (settings, make, *rest) in CASES.items():
        work = trainer(tmp_path / case, **{**({"optimizer": "sgd"} if make is sgd else {}), **settings})
        seen[case] = torch.cat([p.detach().flatten() for p in plainly(work, make, *rest).parameters()])
    names = list(seen)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            assert not torch.allclose(seen[one], seen[other], rtol=1e-6), (one, other)


def test_accumulated_batches_are_one_batch_of_all_their_items(tmp_path):
    states = []
    for settings in ({"batch_size": 16}, {"batch_size": 8, "accumulate": 2}, {"batch_size": 4, "accumulate": 4}):
        work = trainer(tmp_path / str(len(states)), "palora", num_preferences=3, rank=2, **settings)
        assert work.steps_per_epoch == 4
        work.start()
        states.append(work.model.state_dict())
    for state in states[1:]:
        for name, tensor in states[0].items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("method", ["ls", "palora", "uw"])
def test_accumulated_batches_of_any_size_are_one_batch_of_their_items_with_a_label(tmp_path, method):
    """Batches of 3, 7 and 6 items, of which some have no label for one task; a mean of means is another number."""
    x, targets = arrays(16)
    targets = {name: values.double().clone() for name, values in targets.items()}
    targets["a"][[0, 1, 5, 6, 7]] = torch.nan
    cuts = [slice(0, 3), slice(3, 10), slice(10, 16)]
    parts = LoaderSplit([(x[rows].double(), {n: values[rows] for n, values in targets.items()}) for rows in cuts])
    whole = LoaderSplit([(x.double(), targets)])
    states, rows = [], []
    for loader, settings in ((whole, {}), (parts, {"accumulate": 3})):
        torch.manual_seed(0)
        one = Problem(Net().double(), [Regression("a"), Regression("b")], loader, whole, whole)
        chosen, options = configure_problem(one, method, {**BASE, "epochs": 3, "seed": 1, **settings})
        work = Trainer(Run(tmp_path / str(len(states))), one, chosen, options, device="cpu")
        found = []
        work.reporter.step = lambda losses, _, found=found: found.append(losses)
        work.start()
        assert work.total_steps == 3
        states.append(work.model.state_dict())
        rows.append(torch.stack(found))
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-6, atol=1e-7)
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-6, atol=1e-7)


def test_a_task_that_cannot_count_is_named(tmp_path):
    class Blind(Regression):
        def constant_answer(self, target):
            raise NotImplementedError

    x, targets = arrays(16)
    one = Problem(Net(), [Blind("a"), Regression("b")], (x, targets), (x, targets), (x, targets))
    chosen, options = configure_problem(one, "ls", {**BASE, "accumulate": 2})
    with pytest.raises(UserError, match=r"accumulate averages over items, and the task 'a' .* define its _count"):
        Trainer(Run(tmp_path / "run"), one, chosen, options, device="cpu").start()


def test_accumulation_takes_every_item_of_an_epoch_once(tmp_path):
    work = trainer(tmp_path / "run", batch_size=5, accumulate=3)  # 64 items: 12 batches, 4 steps
    seen = torch.cat([p.batch[0] for step in range(work.steps_per_epoch) for (p,) in work.feed.training(step)])
    assert work.steps_per_epoch == 4 and len(seen) == 60 == len(seen.unique(dim=0))


def test_adapters_keep_their_own_rate_under_every_optimizer(tmp_path):
    for name in ("adam", "adamw", "sgd"):
        base, adapters = trainer(tmp_path / name, "palora", optimizer=name).update.optimizer.param_groups
        assert adapters["lr"] == 2 * base["lr"]


def test_a_schedule_of_ones_own_is_asked_at_every_step(tmp_path):
    asked = []

    def schedule(step):
        asked.append(step)
        return 1 / (1 + step)

    work = trainer(tmp_path / "run", optimizer="sgd", live=Live(schedule=schedule))
    expected = plainly(work, sgd, lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step))).state_dict()
    asked.clear()
    work.start()
    assert asked == list(range(16))
    for name, tensor in work.model.network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-12, atol=1e-13)


def test_an_optimizer_of_ones_own_resumes_to_the_bit(tmp_path):
    def finished(folder, stop_at):
        work = trainer(folder, live=Live(torch.optim.RAdam))
        work.stopping.wanted = lambda: work.step == stop_at
        work.start()
        again = trainer(folder, live=Live(torch.optim.RAdam))
        again.resume()
        return pc.load(folder, network=Net().double())[0].state_dict()

    work = trainer(tmp_path / "plain")
    expected = plainly(work, lambda p: torch.optim.RAdam(p, lr=0.05)).state_dict()
    whole, part = finished(tmp_path / "whole", -1), finished(tmp_path / "part", 5)
    assert equal(whole, part)
    torch.testing.assert_close(whole["network.trunk.weight"], expected["trunk.weight"], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("live", "message"),
    [
        (Live(lambda groups: 3), "factory gave a int; expected a torch optimizer"),
        (
            Live(lambda groups: torch.optim.SGD(Net().parameters(), lr=0.05)),
            "factory made holds 6 tensors",
        ),
        (Live(lambda groups: torch.optim.Adam(groups, lr=0.2)), r"made with lr=0.2, which the groups' own .*lr=0.05"),
        (Live(lambda groups: 1 / 0), r"factory failed \(ZeroDivisionError"),
        (Live(schedule=lambda step: -1.0), "schedule gave -1.0 at step 0; expected a number of at least 0"),
        (Live(schedule=lambda step: math.nan), "schedule gave nan at step 0"),
        (Live(schedule=lambda step: "x"), r"schedule failed at step 0 \(ValueError"),
    ],
)
def test_objects_that_do_not_fit_are_refused_in_a_sentence(tmp_path, live, message):
    with pytest.raises(UserError, match=message):
        trainer(tmp_path / "run", live=live).start()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": (0.9,)}, "betas must be two numbers"),
        ({"betas": (0.9, 1.0)}, "betas must be two numbers"),
        ({"warmup": 1.5}, "warmup must be a fraction below 1 or a number of steps"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "momentum must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"ema": 1.0}, "ema must be"),
        ({"clip_norm": -1.0}, "clip_norm must be"),
        ({"accumulate": 0}, "accumulate must be"),
        ({"schedule": "exponential"}, "schedule must be one of milestones, cosine, linear, constant"),
        ({"betas": (0.5, 0.9), "optimizer": "sgd"}, "betas has no effect with the optimizer sgd"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        trainer(tmp_path / "run", **settings)


def test_the_average_is_what_is_evaluated_and_saved_and_training_keeps_both(tmp_path):
    work = trainer(tmp_path / "run", "palora", ema=0.9, evaluate_every=1)
    seen = []
    save = work.state.save
    work.state.save = lambda: (seen.append(copy.deepcopy(work.update.average.averages)), save())
    work.start()
    saved, _ = pc.load(tmp_path / "run", network=Net().double())
    trained = dict(work.model.named_parameters())
    for (name, parameter), average in zip(saved.named_parameters(), seen[-1]):
        assert torch.equal(parameter, average), name
        assert not torch.equal(parameter, trained[name]), name
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert torch.equal(state["model"]["network.trunk.bias"], trained["network.trunk.bias"])


@pytest.mark.parametrize("text", ["trunk", "trunk=", "=0.5", "trunk=fast", "trunk=0", "trunk=-1", "trunk=inf"])
def test_parts_of_another_form_are_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"lr_parts must be parts with positive factors, as trunk.features=0.2"):
        trainer(tmp_path / "run", lr_parts=text)


def test_parts_are_those_of_the_network_adapters_included(tmp_path):
    with pytest.raises(UserError, match=r"lr_parts: Net has no part 'head'; it has trunk, norm, heads"):
        trainer(tmp_path / "one", lr_parts="head=0.5")
    with pytest.raises(UserError, match=r"lr_parts: nothing in 'norm' is trained"):
        trainer(tmp_path / "two", lr_parts="norm=0.5")
    work = trainer(tmp_path / "three", "palora", lr_parts="trunk=0.5", adapter_lr_scale=4.0)
    rates = {id(p): group["lr"] for group in work.update.optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] / 0.05 for name, p in work.model.network.named_parameters()}
    expected = {name: (4.0 if "adapter" in name else 1.0) * (0.5 if "trunk" in name else 1.0) for name in found}
    assert found == pytest.approx(expected)
