"""Hugging Face Accelerate: one process, or several by ``accelerate launch``; its devices and formats, our gradients."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

import palora_core as pc
from palora_core.tasks import Regression

TASKS = [Regression("sum"), Regression("product")]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.sum, self.product = nn.Linear(8, 32), nn.Linear(32, 1), nn.Linear(32, 1)

    def forward(self, x):
        features = self.trunk(x).relu()
        return {"sum": self.sum(features), "product": self.product(features)}


def data(count, seed):
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return DataLoader([(row, {"sum": row.sum(), "product": row[0] * row[1]}) for row in x], batch_size=32)


if __name__ == "__main__":
    accelerator = Accelerator(cpu=True)
    model = pc.palorize(Network(), num_tasks=2)
    optimizer = torch.optim.AdamW(model.parameter_groups(lr=3e-3))
    model, optimizer, loader = accelerator.prepare(model, optimizer, data(512, 0))
    steps, step = 5 * len(loader), 0
    for _ in range(5):
        for batch in loader:
            optimizer.zero_grad()
            with accelerator.unwrap_model(model).accumulate(average=True) as at:
                for preference in pc.annealed_preferences(2, 2, step / steps):
                    outputs = at(preference).forward(batch[0])
                    losses = torch.stack([task.loss(outputs, batch) for task in TASKS])
                    accelerator.backward(preference.to(losses) @ losses)
            optimizer.step()
            step += 1
    model = accelerator.unwrap_model(model)
    front = pc.evaluate(model, data(128, 1), TASKS)
    if accelerator.is_main_process:
        print(front.objectives)
        pc.save("runs/accelerate", model)
    accelerator.end_training()
