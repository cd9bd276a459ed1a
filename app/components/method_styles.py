"""The colour, marker and dash of every method: the same on every page, whatever else is in the figure."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from app.components.training_figures import COLOURS, DASHES, MARKERS

# The place in this list decides, so it only ever grows at its end. Methods that answer every λ come first: they are
# drawn as lines and should be the easiest to tell apart.
KNOWN = (
    *("palora", "pamal", "lorpman", "cosmos", "phn", "phn_epo", "ls", "padora"),
    *("uw", "mgda", "dwa", "pcgrad", "imtl_g", "cagrad", "nash_mtl", "rlw", "graddrop", "auto_lambda", "rotograd"),
    *("stl", "si", "stch", "gradnorm", "gradvac", "fairgrad", "famo", "gls", "imtl_l", "aligned_mtl", "upgrad"),
    *("config", "db_mtl", "moco", "modo", "sdmgrad", "excess_mtl", "pbi"),
    *("hyperpalora", "panacea", "pblora"),
)
# Markers that 3-D plots know, for those that they do not.
SOLID = {"triangle-up": "diamond-open", "star": "circle-open", "hexagon": "square-open"}


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn.

    Attributes:
        colour: ``"#rrggbb"``.
        symbol: plotly marker.
        dash: plotly line style.
    """

    colour: str
    symbol: str
    dash: str

    @property
    def symbol_3d(self) -> str:
        """The marker in a 3-D plot."""
        return SOLID.get(self.symbol.removesuffix("-open"), self.symbol)

    def faint(self, opacity: float) -> str:
        """The colour with an opacity, for areas."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity:g})"


def method_style(method: str, variation: int = 0, published: bool = False) -> MethodStyle:
    """The style of a method.

    Args:
        method: its registry name; one that is not known here gets a style by its name.
        variation: number of the variant, for several configurations of one method: same colour, another dash and
            marker.
        published: numbers taken from a paper are dotted and hollow.
    """
    place = KNOWN.index(method) if method in KNOWN else crc32(method.encode()) % (len(COLOURS) * len(MARKERS))
    symbol = MARKERS[(place + place // len(COLOURS) + 3 * variation) % len(MARKERS)]
    hollow = published or variation % 2 == 1
    dash = "dot" if published else DASHES[variation % len(DASHES)]
    return MethodStyle(COLOURS[place % len(COLOURS)], symbol + "-open" * hollow, dash)


def group_style(place: int) -> MethodStyle:
    """The style of a group among others that are no methods."""
    return MethodStyle(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], DASHES[place // 8 % len(DASHES)])


def preference_colours(preferences: list[list[float]]) -> list[str]:
    """A colour per λ [K, T ≤ 3]: the mixture of one colour for each task."""
    anchors = [tuple(int(COLOURS[t][i : i + 2], 16) for i in (1, 3, 5)) for t in (0, 1, 2)]
    colours = []
    for row in preferences:
        weights = [max(0.0, w) for w in row[:3]]
        total = sum(weights) or 1.0
        mixed = (sum(w * anchor[c] for w, anchor in zip(weights, anchors)) / total for c in range(3))
        colours.append("#{:02x}{:02x}{:02x}".format(*(round(v) for v in mixed)))
    return colours
