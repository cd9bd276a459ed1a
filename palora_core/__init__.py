"""PaLoRA: train one network, then steer it along its Pareto front."""
