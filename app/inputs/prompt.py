"""Texts that a language model goes on with."""

from __future__ import annotations

from app.inputs.base import input_views
from app.inputs.text import TextView


@input_views.register("prompt")
class PromptView(TextView):
    """Typed or sent like any text, and read in the model's own tokens."""
