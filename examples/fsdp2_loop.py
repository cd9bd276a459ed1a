"""FSDP2: ``torchrun --nproc-per-node 2 examples/fsdp2_loop.py`` (gloo on CPUs, nccl on GPUs)."""

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

import palora_core as pc
from palora_core.tasks import Regression

TASKS = [Regression("sum", output=0), Regression("product", output=1)]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.sum, self.product = nn.Linear(8, 32), nn.Linear(32, 1), nn.Linear(32, 1)

    def forward(self, x):
        features = self.trunk(x).relu()
        return self.sum(features), self.product(features)


def data(count, seed):
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return x, {"sum": x.sum(1), "product": x[:, 0] * x[:, 1]}


if __name__ == "__main__":
    distributed.init_process_group()
    torch.manual_seed(0)  # every rank begins with the same weights
    model = pc.palorize(Network(), num_tasks=2)
    fully_shard(model.network.trunk)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameter_groups(lr=3e-3))
    for step in range(100):
        x, targets = data(64, 1000 * distributed.get_rank() + step)
        optimizer.zero_grad()
        with model.accumulate() as at:
            for preference in pc.annealed_preferences(2, 2, step / 99):
                outputs = at(preference).forward(x)
                losses = torch.stack([task.loss(outputs, (x, targets)) for task in TASKS])
                (preference @ losses).backward()
        optimizer.step()
    front = pc.evaluate(model, data(128, 1), TASKS)  # all ranks call this, and save: they gather the weights
    pc.save("runs/fsdp2", model)
    if distributed.get_rank() == 0:
        print(front.objectives)
    distributed.destroy_process_group()
