"""Colour pictures."""

from app.inputs._pictures import PictureView
from app.inputs.base import input_views


@input_views.register("rgb")
class RGBView(PictureView):
    """Colour pictures, as they are."""
