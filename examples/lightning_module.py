"""PyTorch Lightning: its trainer, loaders and callbacks, our network; the front at the end."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

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


class Steerable(lightning.LightningModule):
    """One preference per batch, by plain autograd; τ is how far training has come."""

    def __init__(self):
        super().__init__()
        self.model = pc.palorize(Network(), num_tasks=2)

    def training_step(self, batch, _):
        tau = self.global_step / self.trainer.estimated_stepping_batches
        preferences = pc.annealed_preferences(2, 8, tau).to(self.device)
        preference = preferences[self.global_step % len(preferences)]
        outputs = self.model(batch[0], preference)
        losses = torch.stack([task.loss(outputs, batch) for task in TASKS])
        self.log("loss", losses.mean())
        return preference @ losses

    def configure_optimizers(self):
        return torch.optim.AdamW(self.model.parameter_groups(lr=3e-3))


def data(count, seed):
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return DataLoader([(row, {"sum": row.sum(), "product": row[0] * row[1]}) for row in x], batch_size=32)


if __name__ == "__main__":
    module = Steerable()
    lightning.Trainer(max_epochs=5, accelerator="cpu", logger=False).fit(module, data(512, 0))
    print(pc.evaluate(module.model, data(128, 1), TASKS).objectives)
    pc.save("runs/lightning", module.model)
