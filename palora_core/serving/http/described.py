"""What a service says about itself: its model, OpenAPI, and a page for people."""

from __future__ import annotations

import html
import json
from typing import Any

import palora_core
from palora_core import batches
from palora_core.serving.http.service import Service

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark }} body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
padding: 0 1rem }} pre {{ overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: 6px }}
td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }}</style>
<h1>{title}</h1>
<p>One network for every trade-off between {objectives}: send items and a preference λ, one weight per objective, for
all items or one for each.</p>
<pre>{call}</pre>
<p><b>items</b>: {items}. <b>inputs</b> instead: the network's own arrays, {inputs}. <b>tasks</b>: only some
predictions. <b>classes</b>: the best class in place of all numbers.</p>
<table><tr><th>prediction</th><th>numbers</th><th>unit</th><th>classes</th></tr>{rows}</table>
<p>At most {limits.items} items and {limits.body_mb:g} MB a request, {limits.waiting} requests at a time,
{limits.seconds:g} seconds each; what is wrong is one sentence in <code>error</code>.</p>
<p><a href="openapi.json">openapi.json</a> · <a href="model">model</a> · <a href="health">health</a> ·
<a href="metrics">metrics</a> (Prometheus)</p></html>
"""


def model_told(service: Service) -> dict[str, Any]:
    """The model's objectives, predictions, inputs and limits."""
    inputs = {
        name: {"shape": ["items", *tensor.shape[1:]], "dtype": str(tensor.dtype).removeprefix("torch.")}
        for name, tensor in batches.named(service.example, "input").items()
    }
    return {
        "title": service.title,
        "objectives": service.objectives,
        "tasks": [task.told() for task in service.tasks.values()],
        "inputs": inputs,
        "items": items_told(service),
        "limits": vars(service.limits),
    }


def items_told(service: Service) -> str:
    """What an item is."""
    suffixes = service.kind.suffixes
    if not suffixes:
        return "none for this model"
    plain = {"csv": ", or a row as an object of its columns", "txt": ", or a text"}.get(suffixes[0], "")
    return f'{{"file": base64 of a {" or ".join(suffixes[:2])} file}}{plain}'


def example_request(service: Service) -> dict[str, Any]:
    """A request as people send it, with what it holds left out."""
    weight = round(1 / service.model.num_tasks, 2)
    items: dict[str, Any] = {"items": [{"file": "…"}]} if service.kind.suffixes else {"inputs": "…"}
    return {**items, "preference": [weight] * service.model.num_tasks}


def openapi(service: Service) -> dict[str, Any]:
    """OpenAPI 3.1 of the service."""
    number = {"type": "number"}
    weights = {
        "type": "array",
        "items": number,
        "minItems": service.model.num_tasks,
        "maxItems": service.model.num_tasks,
    }
    array = {"type": "array", "description": "nested lists of numbers, items first"}
    names = list(batches.named(service.example, "input"))
    request = {
        "type": "object",
        "required": ["preference"],
        "additionalProperties": False,
        "properties": {
            "items": {"type": "array", "maxItems": service.limits.items, "description": items_told(service)},
            "inputs": {
                "anyOf": [array, {"type": "object", "properties": dict.fromkeys(names, array), "required": names}]
            },
            "preference": {"anyOf": [weights, {"type": "array", "items": weights}], "description": _weights(service)},
            "tasks": {"type": "array", "items": {"enum": list(service.tasks)}},
            "classes": {"type": "boolean", "default": False},
        },
    }
    told = {name: {**array, "description": task.reading} for name, task in service.tasks.items()}
    answer = {
        "type": "object",
        "required": ["preference", "predictions"],
        "properties": {
            "preference": {"type": "array", "items": weights},
            "predictions": {"type": "object", "properties": told},
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    refused = {str(status): _json(error, what) for status, what in STATUSES.items()}
    predict = {
        "summary": "Predictions at a preference, for all items or one for each",
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {"200": _json(answer, "predictions by task, items first"), **refused},
    }
    asked = {
        path: {"get": {"summary": what, "responses": {"200": {"description": what}}}} for path, what in PATHS.items()
    }
    about = {"title": service.title or "A controllable network", "version": palora_core.__version__}
    return {"openapi": "3.1.0", "info": about, "paths": {"/predict": {"post": predict}, **asked}}


STATUSES = {
    400: "no JSON object",
    403: "asked for under a name that is not this server's",
    408: "the request did not arrive in time",
    413: "too large, or too many items",
    415: "not application/json",
    422: "a field is missing or cannot be right",
    503: "too many requests at once, or no answer in time",
}
PATHS = {"/model": "what the model predicts and reads", "/health": "whether it answers", "/metrics": "for Prometheus"}


def page(service: Service) -> str:
    """The service for people, without anything from elsewhere."""
    told = model_told(service)
    body = json.dumps(example_request(service), ensure_ascii=False)
    call = f"curl localhost:PORT/predict -H 'content-type: application/json' \\\n  -d '{body}'"
    inputs = ", ".join(f"{name} {one['shape']} {one['dtype']}" for name, one in told["inputs"].items())
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(str(v))}</td>" for v in (t["name"], t["reading"], t["unit"], _few(t)))
        + "</tr>"
        for t in told["tasks"]
    )
    return PAGE.format(
        title=html.escape(service.title or "A controllable network"),
        objectives=html.escape(", ".join(service.objectives)),
        call=html.escape(call),
        items=html.escape(told["items"]),
        inputs=html.escape(inputs.replace("'", "")),
        rows=rows,
        limits=service.limits,
    )


def _weights(service: Service) -> str:
    return f"λ: a weight for each of {', '.join(service.objectives)}; for all items, or one such list per item"


def _json(schema: dict[str, Any], what: str) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _few(task: dict[str, Any]) -> str:
    names = task["classes"] or task["labels"]
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
