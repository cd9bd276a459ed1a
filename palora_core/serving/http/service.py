"""One model that answers requests, whatever brings them: reads, predicts at every item's own λ, writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Caller
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError, quoted
from palora_core.inputs.base import Input
from palora_core.objectives import Objective
from palora_core.serving.http.limits import Limits, Refused
from palora_core.serving.http.reading import inputs_of, parsed, preference_of
from palora_core.serving.shared import served
from palora_core.tasks import Task


class Service:
    """A model with what is needed to answer for it. Not thread-safe: one thread computes.

    Args:
        model: the conditioned network.
        objectives: in the order of λ; the tasks among them are predicted.
        kind: of its inputs.
        example: inputs of some items, as the network reads them.
        caller: how inputs become arguments.
        title: of the model, for people.
        limits: of a request.
    """

    def __init__(
        self,
        model: ParetoModel,
        objectives: Sequence[Objective],
        kind: Input,
        example: Any,
        caller: Caller | None = None,
        title: str = "",
        limits: Limits | None = None,
    ) -> None:
        self.model, self.kind, self.title, self.limits = model, kind, title, limits or Limits()
        self.objectives = [one.name for one in objectives]
        self.tasks = {one.name: one for one in objectives if isinstance(one, Task)}
        self.caller = caller or Caller(model.network)
        example = batches.floating(self.caller.read(example), torch.float32)
        self.example = batches.rows(example, slice(0, 1))
        self.network = served(model, example, self.caller)

    def answer(self, body: bytes) -> tuple[bytes, int]:
        """The JSON answer to a request's JSON, and how many items it is about.

        Raises:
            Refused: with a sentence on what is wrong with the request.
        """
        data = parsed(body)
        names = self._wanted(data)
        inputs, count = inputs_of(data, self.kind, self.example, self.limits.items)
        preference = preference_of(data, self.model.num_tasks, count)
        found = self.predict(inputs, preference)
        told = {name: self._told(found[name], name, data.get("classes", False)) for name in names}
        rows = preference.expand(count, -1).tolist()
        return json.dumps({"preference": rows, "predictions": told}, allow_nan=False).encode(), count

    def predict(self, inputs: Any, preference: Tensor) -> dict[str, Tensor]:
        """Predictions [B, …] by task, for inputs of B items at λ [T] or [B, T].

        Raises:
            Refused: the network fails on inputs of these sizes, or gives no finite numbers at this λ.
        """
        if preference.dim() == 2 and bool((preference == preference[0]).all()):
            preference = preference[0]
        try:
            with batches.network_failures(inputs):
                found = self._predict(inputs, preference)
        except UserError as error:
            raise Refused(str(error)) from None
        bad = [name for name, tensor in found.items() if not torch.isfinite(tensor).all()]
        if bad:
            raise Refused(f"The network gives no finite numbers for {bad[0]} at this preference; choose another one.")
        return found

    def _predict(self, inputs: Any, preference: Tensor) -> dict[str, Tensor]:
        if preference.dim() == 1:
            return self._of_tasks(self.network(inputs, preference))
        try:
            return self._of_tasks(self.network(inputs, preference))
        except UserError:  # layers that have one λ at a time
            parts = [
                self._of_tasks(self.network(batches.rows(inputs, slice(i, i + 1)), preference[i]))
                for i in range(len(preference))
            ]
            return {name: torch.cat([part[name] for part in parts]) for name in self.tasks}

    def _of_tasks(self, outputs: Any) -> dict[str, Tensor]:
        return {name: task.prediction_of(outputs).clone() for name, task in self.tasks.items()}

    def _wanted(self, data: Mapping[str, Any]) -> list[str]:
        names = data.get("tasks", list(self.tasks))
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n in self.tasks for n in names):
            raise Refused(f"The field tasks is {quoted(names)}; expected some of {', '.join(self.tasks)}.")
        if not isinstance(data.get("classes", False), bool):
            raise Refused("The field classes is neither true nor false.")
        return names

    def _told(self, prediction: Tensor, name: str, classes: bool) -> Any:
        """Numbers as they are; the best class in place of the numbers of all, where that is wanted."""
        axis = self.tasks[name].class_axis
        if not classes or axis is None:
            return prediction.tolist()
        return prediction.argmax(axis + 1 if axis >= 0 else axis).tolist()
