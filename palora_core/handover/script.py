"""The script of a bundle: from a file to predictions in fifteen lines, with numpy, pillow and onnxruntime only."""

from __future__ import annotations

from palora_core.inputs.base import Preprocessing

USAGE = '"""What the network predicts, run in this folder: python infer.py [FILE]{weights}"""\n'
WEIGHTS = "; at other trade-offs: python infer.py FILE WEIGHT WEIGHT …"
AT = 'at = {"preference": np.array(sys.argv[2:], "f4")} if sys.argv[2:] else {}'
READ = (
    'card = json.load(open("bundle.json", encoding="utf-8"))',
    'form, path = card["preprocessing"], [*sys.argv, card["sample"]][1]',
)
RUN = 'outputs = onnxruntime.InferenceSession({file}).run(card["outputs"], {inputs})'
TELL = (
    'for t, y in zip(card["tasks"], outputs):',
    '    best = y[0].argmax(t["axis"])',
    '    print(t["name"], np.array(t["classes"])[np.unique(best)] if t["classes"] else y * t["scale"], t["unit"])',
)
# Of what nobody described as people have it: the network's inputs themselves.
TENSORS = Preprocessing(
    "npz", {}, ("inputs = dict(np.load(path))",), (), "The network's own inputs, arrays [1, …] by name, in an npz file."
)


def script(preprocessing: Preprocessing, controllable: bool) -> str:
    """``infer.py``: runs ``network.onnx``, or ``controllable.onnx`` where weights are given and there is one."""
    either = RUN.format(file='"controllable.onnx" if at else "network.onnx"', inputs="inputs | at")
    run = (AT, either) if controllable else (RUN.format(file='"network.onnx"', inputs="inputs"),)
    modules = ", ".join(["json", "sys", *preprocessing.imports, "numpy as np", "onnxruntime"])
    lines = (f"import {modules}", *READ, *preprocessing.lines, *run, *TELL)
    return USAGE.format(weights=WEIGHTS if controllable else "") + "\n".join(lines) + "\n"
