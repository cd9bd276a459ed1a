"""Grey pictures."""

from app.inputs._pictures import PictureView
from app.inputs.base import input_views


@input_views.register("grey")
class GreyView(PictureView):
    """Grey pictures, as they are."""
