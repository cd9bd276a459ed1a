"""Methods: conditioning × balancer × sampler; one file each."""

from palora_core.registry import make_callable

make_callable(__name__)  # palora_core.methods() gives what is registered
