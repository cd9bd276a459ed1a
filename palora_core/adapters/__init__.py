"""Task-specific low-rank adapters: W(λ) = W + α/r · Σ_t λ_t B_t A_t (Eq. 1) inside any layer, merged or as branches."""

from palora_core.adapters.insertion import CONV_FORMS, adapter_form, factor_shapes, insert_adapters
from palora_core.adapters.layer import LowRankLayer

__all__ = ["CONV_FORMS", "LowRankLayer", "adapter_form", "factor_shapes", "insert_adapters"]
