"""Problems from live objects: data of every form, one source per objective, networks with inputs of any shape."""

import copy
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import palora_core as pc
from palora_core.config import method_from
from palora_core.data import ArraySplit, DatasetSplit, LoaderSplit, as_split, iterate
from palora_core.errors import UserError
from palora_core.evaluation.evaluate import evaluate
from palora_core.problem import Problem
from palora_core.sources import as_sources
from palora_core.storage.runs import Run
from palora_core.tasks import Classification, Regression
from palora_core.training.options import TrainingOptions
from palora_core.training.trainer import Trainer

Outputs = namedtuple("Outputs", "digit size")


class TwoInputs(nn.Module):
    """Token ids and a mask in, a named tuple out."""

    def __init__(self):
        super().__init__()
        self.embed, self.digit, self.size = nn.Embedding(9, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, ids, mask=None):
        mask = torch.ones_like(ids) if mask is None else mask
        mean = (self.embed(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return Outputs(self.digit(mean), self.size(mean))


def arrays(items=24, seed=0):
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 9, (items, 5), generator=source)
    mask = torch.ones(items, 5)
    mask[:, 3:] = 0
    return {"ids": ids, "mask": mask, "digit": ids[:, 0] % 3, "size": ids[:, :3].float().mean(1)}


OBJECTIVES = (Classification("digit", 3), Regression("size"))


class Items(Dataset):
    def __init__(self, items=24, seed=0):
        self.data = arrays(items, seed)

    def __len__(self):
        return len(self.data["ids"])

    def __getitem__(self, index):
        return {name: values[index] for name, values in self.data.items()}


def options(**given):
    return TrainingOptions(**{"epochs": 2, "batch_size": 8, "samples": 4, "lr": 0.02, **given})


def trained(problem, folder, method="palora", **given):
    trainer = Trainer(Run(folder), problem, method_from(method), options(**given), device="cpu")
    trainer.start()
    return trainer


def split_pair(items=24, seed=0):
    data = arrays(items, seed)
    inputs = {name: data[name] for name in ("ids", "mask")}
    return inputs, {name: data[name] for name in ("digit", "size")}


FORMS = {
    "data set": Items,
    "loader": lambda: DataLoader(Items(), batch_size=8),
    "arrays": split_pair,
    "columns": arrays,
    "split": lambda: ArraySplit(*split_pair()),
    "numpy": lambda: {name: values.numpy() for name, values in arrays().items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_batches(form):
    split = as_split(FORMS[form](), ["digit", "size"])
    found = list(iterate(split, 8))
    expected = list(iterate(ArraySplit(*split_pair()), 8))
    assert len(split) == 24 and len(found) == len(expected) == 3
    for (inputs, targets), (wanted, labels) in zip(found, expected):
        assert torch.equal(inputs["ids"], wanted["ids"]) and inputs["ids"].dtype == torch.int64
        assert torch.equal(inputs["mask"], wanted["mask"])
        assert all(torch.equal(targets[name], labels[name]) for name in labels)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_trains_evaluates_and_is_kept(tmp_path, form):
    torch.manual_seed(0)
    problem = Problem(TwoInputs(), OBJECTIVES, FORMS[form](), val=Items())
    before = evaluate(method_from("palora").conditioning.condition(problem.build(), 2), Items(), OBJECTIVES)
    trainer = trained(problem, tmp_path / "run", epochs=6)
    front = pc.Front.load(tmp_path / "run" / "front.json")
    assert front.objectives.shape == (11, 2)
    assert front.objectives.min(0)[0] < before.objectives.min(0)[0]
    assert front.reference == trainer.fronts.reference and all(np.isfinite(front.reference))
    assert set(front.effect()) == {"digit", "size"}
    events = trainer.run.events()
    assert events[-1]["reason"] == "finished"


def test_a_frame_is_one_table_and_its_target_columns(tmp_path):
    source = np.random.default_rng(0)
    frame = pd.DataFrame({name: source.normal(size=40) for name in "abc"})
    frame["rich"] = (frame.a > 0).astype(int)
    frame["old"] = frame.b + frame.c
    split = as_split(frame, ["rich", "old"])
    x, targets = split.batch(torch.arange(5))
    assert x.shape == (5, 3) and x.dtype == torch.float32
    assert torch.equal(targets["old"], torch.tensor(frame.old[:5].to_numpy()))
    frame["name"] = "x"
    with pytest.raises(UserError, match="column 'name' holds no numbers"):
        as_split(frame, ["rich", "old"])
    with pytest.raises(UserError, match="No column of the data frame is called price"):
        as_split(frame, ["price"])


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.heads = nn.Linear(4, 8), nn.ModuleDict({"a": nn.Linear(8, 1), "b": nn.Linear(8, 1)})

    def forward(self, x):
        features = self.trunk(x).relu()
        return {name: head(features) for name, head in self.heads.items()}


def table(items, seed, name):
    x = torch.randn(items, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sum(1) if name == "a" else x[:, 0] - x[:, 1])


TWO = (Regression("a"), Regression("b"))


@pytest.mark.parametrize("cut", ["longest", "shortest"])
def test_a_data_set_per_objective(tmp_path, cut):
    data = {"a": table(64, 0, "a"), "b": table(24, 1, "b")}
    problem = Problem(Heads(), TWO, data, val={"a": table(16, 2, "a"), "b": table(8, 3, "b")})
    trainer = trained(problem, tmp_path / "run", sources=cut, epochs=20 if cut == "longest" else 40)
    assert trainer.steps_per_epoch == (8 if cut == "longest" else 3)
    front = pc.Front.load(tmp_path / "run" / "front.json")
    assert (front.objectives.min(0) < 0.4).all()
    # each objective is measured on its own data
    plain = trainer.model.merge((0.5, 0.5)).eval()
    x, y = table(8, 3, "b").tensors
    with torch.no_grad():
        expected = float((plain(x)["b"][:, 0] - y).square().mean())
    middle = [float(v) for v in front.preferences[5]]
    assert middle == [0.5, 0.5] and front.objectives[5, 1] == pytest.approx(expected, rel=1e-4)


def test_a_source_for_one_and_a_source_for_both_are_one_mean(tmp_path):
    """Depth learns from real frames and from scenes: the loss is that of all valid items together."""
    both = TensorDataset(torch.randn(16, 4), torch.randn(16))
    only = TensorDataset(torch.randn(16, 4), torch.randn(16))
    given = {("a", "b"): both, ("a",): only}
    sources = as_sources(given, TWO)
    assert [source.objectives for source in sources] == [(0, 1), (0,)]
    torch.manual_seed(0)
    problem = Problem(Heads(), TWO, given, val=both)
    trainer = Trainer(Run(tmp_path / "run"), problem, method_from("palora"), options(batch_size=16), device="cpu")
    losses, _ = trainer.steps.take()
    del losses
    (portions,) = trainer.feed.training(0)
    found = trainer.engine.losses_at(portions, torch.tensor([0.5, 0.5]))
    plain = trainer.model.merge((0.5, 0.5))
    x = torch.cat([both.tensors[0], only.tensors[0]])
    y = torch.cat([both.tensors[1], only.tensors[1]])
    with torch.no_grad():
        assert found[0].item() == pytest.approx(float((plain(x)["a"][:, 0] - y).square().mean()), rel=1e-5)
        alone = (plain(both.tensors[0])["b"][:, 0] - both.tensors[1]).square().mean()
        assert found[1].item() == pytest.approx(float(alone), rel=1e-5)


def test_a_problem_resumes_to_the_bit(tmp_path):
    torch.manual_seed(0)
    problem = Problem(TwoInputs(), OBJECTIVES, Items())
    whole = trained(problem, tmp_path / "whole", epochs=3)
    first = Trainer(Run(tmp_path / "part"), problem, method_from("palora"), options(epochs=3), device="cpu")
    first.stopping.wanted = lambda: first.step >= 4
    first.start()
    assert first.step == 4
    second = Trainer(Run(tmp_path / "part"), problem, method_from("palora"), options(epochs=3), device="cpu")
    second.resume()
    state, expected = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_the_network_that_was_given_stays_as_it_is(tmp_path):
    network = TwoInputs()
    before = copy.deepcopy(network.state_dict())
    trained(Problem(network, OBJECTIVES, Items()), tmp_path / "run")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


class Endless:
    def __iter__(self):
        while True:
            yield torch.zeros(1, 4), torch.zeros(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least 2 are needed|split is empty"),
        (iter([1]), "iterator, which ends after one pass"),
        (Endless(), "does not tell how many batches"),
        (DataLoader(table(16, 0, "a")), "A loader cannot be divided"),
        (3, "Data are a int; expected"),
        ((torch.zeros(3, 4), torch.zeros(2)), "unequal lengths .2 and 3"),
        ({"c": table(4, 0, "a"), "a": table(4, 0, "a")}, "'c', which is no objective; they are a, b"),
        ({"a": table(4, 0, "a")}, "No data are given for the objective 'b'"),
        ([(torch.zeros(4), torch.zeros(1), torch.zeros(1))] * 4, "tuple of 3 parts|list of 3 parts"),
        ([(torch.zeros(size), torch.zeros(1)) for size in (3, 4, 5, 6)] * 4, "do not collate into a batch"),
    ],
)
def test_bad_data_are_named(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        trained(Problem(Heads(), TWO, data), tmp_path / "run")


def test_a_loader_that_yields_nothing_says_so():
    with pytest.raises(UserError, match="yields no batch"):
        list(iterate(as_split(DataLoader(table(0, 0, "a"))), 4))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, batch: outputs["a"], r"'bad' gave a tensor \[8, 1\]; expected a scalar"),
        (lambda outputs, batch: 1.0, "'bad' gave a float"),
        (lambda outputs, batch: torch.ones(()), "'bad' does not depend on the network"),
        (lambda outputs, batch: outputs["a"].mean() * float("nan"), "loss of bad is NaN"),
        (lambda outputs, batch: outputs["zzz"].mean(), "'bad' failed .KeyError: 'zzz'"),
    ],
)
def test_bad_objectives_are_named(tmp_path, loss, message):
    objectives = (Regression("a"), pc.objective("bad", loss))
    with pytest.raises(UserError, match=message):
        trained(Problem(Heads(), objectives, table(32, 0, "a")), tmp_path / "run")


def test_missing_outputs_are_named(tmp_path):
    objectives = (Regression("a"), Regression("depth"))
    with pytest.raises(UserError, match=r"'depth' reads the output 'depth', found dict of a .8, 1., b"):
        trained(Problem(Heads(), objectives, table(32, 0, "a")), tmp_path / "run")


def test_splits_keep_their_kind():
    assert isinstance(as_split(Items()), DatasetSplit)
    assert isinstance(as_split(DataLoader(Items())), LoaderSplit)


def test_a_data_set_of_datasets_is_one_whatever_its_batch_means():
    class Likeness:  # of datasets.Dataset
        column_names = ("ids",)

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"ids": [index, 1], "label": index}

        def batch(self, batch_size):
            raise AssertionError

    assert as_split(Likeness()).batch(torch.tensor([2]))[0]["ids"].tolist() == [[2, 1]]


def test_lists_of_numbers_in_items_are_arrays():
    rows = [{"ids": [n, n + 1, n + 2], "mask": [[1.0, 0.5]], "text": "a", "label": n} for n in range(4)]
    (inputs, targets) = as_split(rows).batch(torch.tensor([2, 0]))
    assert inputs["ids"].tolist() == [[2, 3, 4], [0, 1, 2]] and inputs["mask"].shape == (2, 1, 2)
    assert targets["label"].tolist() == [2, 0] and inputs["text"] == ["a", "a"]
    x, y = as_split([([1.0, 2.0], 3), ([4.0, 5.0], 6)]).batch(torch.tensor([0, 1]))
    assert x.tolist() == [[1.0, 2.0], [4.0, 5.0]] and y.tolist() == [3, 6]
    with pytest.raises(UserError, match="do not collate"):
        as_split([{"ids": [1]}, {"ids": [1, 2]}]).batch(torch.tensor([0, 1]))
