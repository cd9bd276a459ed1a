"""Grey pictures."""

from __future__ import annotations

from app.components.canvas import canvas
from app.inputs._pictures import PictureView
from app.inputs.base import Sent, input_views
from palora_core.inputs import Grey


@input_views.register("grey")
class GreyView(PictureView):
    """Grey pictures, as they are; where they are figures on a dark ground, a person can draw one."""

    input: Grey

    @property
    def sources(self) -> tuple[str, ...]:
        """Drawing comes first: it is what these networks know."""
        return ("Draw", *super().sources) if self.input.dark else super().sources

    def sent_from(self, source: str) -> Sent | None:
        """The drawing, or as any picture."""
        if source != "Draw":
            return super().sent_from(source)
        drawn = canvas("canvas", self.input.marks)
        return None if drawn is None else (drawn, "Your drawing")
