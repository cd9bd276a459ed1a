"""Fronts from what people have, without training: checkpoints and PEFT adapters of one network, mixed by λ."""
