"""How inputs are shown and sent in, one file per kind."""

from app.inputs.base import InputView, input_view_of, input_views

__all__ = ["InputView", "input_view_of", "input_views"]
