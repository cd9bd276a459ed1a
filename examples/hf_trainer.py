"""The Trainer of transformers: its loop, logs and checkpoints, our network; λ by plain autograd."""

import torch
from torch import nn
from transformers import BertConfig, BertModel, Trainer, TrainingArguments

import palora_core as pc
from palora_core.tasks import Classification

TASKS = [Classification("first", 2), Classification("last", 2)]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        self.bert = BertModel(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes))
        self.first, self.last = nn.Linear(32, 2), nn.Linear(32, 2)

    def forward(self, input_ids, attention_mask):
        pooled = self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return {"first": self.first(pooled), "last": self.last(pooled)}


class SteeringTrainer(Trainer):
    """One preference per batch."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        preferences = pc.annealed_preferences(2, 8, self.state.global_step / self.state.max_steps)
        preference = preferences[self.state.global_step % len(preferences)]
        outputs = model(inputs["input_ids"], inputs["attention_mask"], preference=preference)
        losses = torch.stack([task.loss(outputs, (inputs, inputs)) for task in TASKS])
        loss = preference.to(losses) @ losses
        return (loss, outputs) if return_outputs else loss


def data(count, seed):
    ids = torch.randint(2, 20, (count, 6), generator=torch.Generator().manual_seed(seed))
    first, last = (ids[:, 0] > 10).long(), (ids[:, -1] > 10).long()
    names = ("input_ids", "attention_mask", "first", "last")
    return [dict(zip(names, row)) for row in zip(ids, torch.ones_like(ids), first, last)]


if __name__ == "__main__":
    model = pc.palorize(Network(), num_tasks=2)
    options = {"remove_unused_columns": False, "report_to": [], "use_cpu": True, "save_strategy": "epoch"}
    arguments = TrainingArguments("runs/hf", num_train_epochs=3, **options)
    optimizer = torch.optim.AdamW(model.parameter_groups(lr=3e-3))
    SteeringTrainer(model, arguments, train_dataset=data(512, 0), optimizers=(optimizer, None)).train()
    print(pc.evaluate(model.eval(), data(128, 1), TASKS).objectives)
    pc.save("runs/hf/model", model)
