"""What inputs are to people: how the numbers that a network reads look, and how a person's own file becomes some.

Kinds are found by walking this package, one file each; ``palora_core.inputs()`` lists them.
"""

from palora_core.inputs._pictures import Picture
from palora_core.inputs.audio import Audio, Sound
from palora_core.inputs.base import MOST_BYTES, Input, as_input
from palora_core.inputs.grey import Grey
from palora_core.inputs.prompt import Prompt
from palora_core.inputs.record import Record
from palora_core.inputs.rgb import RGB
from palora_core.inputs.table import Table
from palora_core.inputs.text import Text
from palora_core.registry import make_callable

__all__ = [
    "MOST_BYTES",
    "RGB",
    "Audio",
    "Grey",
    "Input",
    "Picture",
    "Prompt",
    "Record",
    "Sound",
    "Table",
    "Text",
    "as_input",
]

make_callable(__name__)  # palora_core.inputs() gives what is registered
