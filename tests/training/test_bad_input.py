"""What a person may give by mistake: one sentence that names the objective, what was found and what was expected."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import palora_core as pc
from palora_core.errors import UserError
from palora_core.tasks import Classification, Regression


class Net(nn.Module):
    def __init__(self, change=lambda outputs: outputs):
        super().__init__()
        self.layer, self.a, self.b, self.change = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 3), change

    def forward(self, x):
        features = self.layer(x).relu()
        return self.change({"a": self.a(features), "b": self.b(features)})


def rows(count=16, width=4):
    x = torch.randn(count, width, generator=torch.Generator().manual_seed(0))
    return x, {"a": x.sum(1), "b": torch.arange(count) % 3}


class Loader(list):
    """Batches, and how many of them are promised."""


class Broken(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        if index == 7:
            raise OSError("cannot be read")
        return torch.zeros(4), {"a": torch.tensor(1.0), "b": torch.tensor(1)}


class Meter:
    higher_is_better = True

    def __init__(self, update=lambda *given: None, compute=lambda: 1.0):
        self._update, self._compute = update, compute

    def update(self, *given):
        self._update(*given)

    def compute(self):
        return self._compute()

    def reset(self):
        pass


class OwnObjective(pc.Objective):
    def loss(self, outputs, batch):
        return outputs["missing"].mean()


A, B = TASKS = [Regression("a"), Classification("b", 3)]


def loaded(*batches):
    return DataLoader(Loader(batches), batch_size=None)


def mine(function):
    return [A, pc.objective("mine", function)]


def fails(*_):
    raise KeyError("boom")


CASES = {
    "an empty loader": (lambda: [Net(), TASKS, loaded()], r"The DataLoader yields no batch; expected at least one"),
    "an empty loader of validation items": (lambda: [Net(), TASKS, rows(), loaded()], r"DataLoader yields no batch"),
    "other shapes than before": (
        lambda: [Net(), TASKS, loaded(rows(8), rows(8, 5))],
        r"The network failed \(RuntimeError: .*\) on inputs \[8, 5\]; the inputs before were \[8, 4\]",
    ),
    "other shapes in validation": (lambda: [Net(), TASKS, rows(), rows(8, 5)], r"network failed .* on inputs \[2, 5\]"),
    "no targets": (
        lambda: [Net(), TASKS, loaded(torch.zeros(8, 4))],
        r"'a' reads the target 'a', found dict of nothing",
    ),
    "a triple": (lambda: [Net(), TASKS, loaded((1, 2, 3))], r"a list of 3 parts; expected \(inputs, targets\)"),
    "an item that fails": (
        lambda: [Net(), TASKS, Broken()],
        r"Item 7 of .*Broken\) failed \(OSError: cannot be read\)",
    ),
    "a worker that fails": (
        lambda: [Net(), TASKS, DataLoader(Broken(), 8)],
        r"The DataLoader failed \(OSError: cannot be read\)",
    ),
    "a path": (lambda: [Net(), TASKS, "data.csv"], r"Data are a str; read the file first"),
    "a vector": (lambda: [Net(), mine(lambda o, b: o["a"][:, 0])], r"'mine' gave a tensor \[8\]; expected a scalar"),
    "a constant": (lambda: [Net(), mine(lambda o, b: torch.tensor(1.0))], r"'mine' does not depend on the network"),
    "NaN": (lambda: [Net(), mine(lambda o, b: (o["a"] - 99).log().mean())], r"loss of mine is NaN .* first step"),
    "a number": (lambda: [Net(), mine(lambda o, b: 1.0)], r"'mine' gave a float; expected a scalar tensor"),
    "a complex number": (lambda: [Net(), mine(lambda o, b: o["a"].mean() * 1j)], r"'mine' gave a complex number"),
    "no function": (lambda: [Net(), mine(3)], r"'mine' is a int; expected a function"),
    "a function that fails": (
        lambda: [Net(), mine(lambda o, b: o["zz"].mean())],
        r"'mine' failed \(KeyError: 'zz'\) on outputs dict of a \[8, 1\], b \[8, 3\] and targets dict of a \[8\], b",
    ),
    "a class that fails": (lambda: [Net(), [A, OwnObjective("mine")]], r"'mine' failed \(KeyError: 'missing'\)"),
    "an output that is not there": (lambda: [Net(lambda o: {"a": o["a"]}), TASKS], r"'b' reads the output 'b', found"),
    "no outputs": (lambda: [Net(lambda o: None), TASKS], r"'a' reads the output 'a', found NoneType"),
    "an index into one tensor": (
        lambda: [Net(lambda o: o["b"]), [Regression("a", output=0), B]],
        r"'a' reads the output 0, found one tensor \[8, 3\]; leave output= out",
    ),
    "a network that fails": (
        lambda: [Net(fails), TASKS],
        r"The network failed \(KeyError: 'boom'\) on inputs \[8, 4\]",
    ),
    "a metric that fails at a batch": (
        lambda: [Net(), [Regression("a", measures={"m": Meter(fails)}), B]],
        r"The metric 'm' of the objective 'a' failed \(KeyError: 'boom'\)",
    ),
    "a metric that fails at the end": (
        lambda: [Net(), [Regression("a", measures={"m": Meter(compute=fails)}), B]],
        r"The metric 'm' of the objective 'a' failed",
    ),
    "a metric of three numbers": (
        lambda: [Net(), [Regression("a", measures={"m": Meter(compute=lambda: torch.ones(3))}), B]],
        r"The metric 'm' of the objective 'a' failed .* compute one number",
    ),
}


def train(folder, make):
    network, objectives, *data = make()
    training, validation, *_ = [*data, *[rows()] * 2][:2]
    problem = pc.Problem(network, objectives, training, validation)
    pc.fit(problem, out=folder, epochs=1, batch_size=8, front_points=2, progress=False, device="cpu")


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_says_what_is_wrong(tmp_path, case):
    make, match = CASES[case]
    with pytest.raises(UserError, match=match) as raised:
        train(tmp_path / "run", make)
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


def test_one_batch_and_fewer_batches_than_promised_train(tmp_path):
    class Short:
        def __iter__(self):
            return iter([rows(8)])

        def __len__(self):
            return 3

    for number, loader in enumerate((loaded(rows(8)), Short())):
        problem = pc.Problem(Net(), TASKS, loader, rows())
        out = tmp_path / str(number)
        assert pc.fit(problem, out=out, epochs=1, front_points=2, progress=False, device="cpu").finished
