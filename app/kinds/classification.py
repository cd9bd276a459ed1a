"""Classification: a bar per class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from app.kinds.base import Given, Values, View, class_names, views
from app.pictures import palettes


@views.register("classification")
class ClassificationView(View):
    """One class per item, from logits [C]."""

    decides: ClassVar[bool] = True

    @cached_property
    def classes(self) -> list[str]:
        """Their names, or numbers."""
        return class_names(self) or [str(i) for i in range(self.task.num_classes)]

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """The probability of every class, and which is the likeliest."""
        probabilities = prediction.float().softmax(-1)
        return {"probabilities": [round(p, 4) for p in probabilities.tolist()], "top": int(probabilities.argmax())}

    def decision(self, prediction: Tensor) -> Tensor:
        """The logits."""
        return prediction

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """The true class, None where there is none."""
        label = int(target.reshape(-1)[0])
        return {"top": label if label != self.task.ignore_index else None}

    def legend(self) -> dict[str, Any]:
        """Names and colours of the classes."""
        colours = palettes.class_colours(len(self.classes))
        return {"classes": self.classes, "colours": colours, "wrong": palettes.WRONG}

    def rows(self, values: Values) -> list[tuple[str, str]]:
        """The likeliest class and how likely it is; of a ground truth the class."""
        return [("class", str(self.cell(values) or ""))]

    def cell(self, values: Values | None) -> str | None:
        """As in a row."""
        if not values or values.get("top") is None:
            return None
        sure = f" ({100 * values['probabilities'][values['top']]:.0f} %)" if "probabilities" in values else ""
        return f"{self.classes[values['top']]}{sure}"

    def mark(self, values: Values, expected: Values | None) -> str:
        """Whether the class is the true one."""
        true = (expected or {}).get("top")
        return "" if true is None else " ✓" if values["top"] == true else " ✗"

    def chart(self, given: Sequence[Given], expected: Values | None) -> Any:
        """Probabilities of several models side by side; the true class is marked on the axis."""
        return bars(given, (expected or {}).get("top"), self.classes)


def bars(given: Sequence[Given], true: int | None, classes: Sequence[str]) -> Any:
    """A bar per class and model, probabilities from 0 to 1; one class is marked as true."""
    import plotly.graph_objects as go

    from app.components.fronts import styled
    from app.components.plain import in_figure

    figure = go.Figure()
    for name, colour, pattern, values in given:
        figure.add_bar(
            x=list(range(len(values["probabilities"]))),
            y=values["probabilities"],
            name=in_figure(name),
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate=f"{in_figure(name)}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
        )
    ticks = [f"<b>✓ {name}</b>" if i == true else str(name) for i, name in enumerate(classes)]
    figure.update_xaxes(tickvals=list(range(len(classes))), ticktext=ticks)
    figure.update_yaxes(range=[0, 1], title="probability")
    return styled(figure).update_layout(height=230, barmode="group")
