"""A model over HTTP: its numbers are the network's, and what cannot be right is one sentence."""

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import palora_core as pc
from palora_core.commands.serve import service_of
from palora_core.errors import UserError
from palora_core.inputs import RGB, Input, Record, Table
from palora_core.inputs.record import Field, Scale
from palora_core.methods.base import methods
from palora_core.serving.http.limits import Limits
from palora_core.serving.http.server import application
from palora_core.serving.http.service import Service
from palora_core.tasks import Classification, Regression

ROWS = Table(("a", "b"), (1.0, 2.0), (0.5, 4.0))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.sort, self.size = nn.Linear(2, 16), nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x):
        features = self.trunk(x).relu()
        return {"sort": self.sort(features), "size": self.size(features)}


TASKS = [Classification("sort", 3, classes=("x", "y", "z")), Regression("size", unit="cm")]


def made(network=None, **options) -> pc.ParetoModel:
    torch.manual_seed(0)
    model = pc.palorize(network or Net(), 2, **options).eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model


def service(limits=None, kind=ROWS, model=None, example=None, tasks=TASKS) -> Service:
    example = torch.zeros(2, 2) if example is None else example
    return Service(model or made(), tasks, kind, example, title="Toy", limits=limits)


def post(app, body, headers=None) -> tuple[int, dict]:
    (answer,) = together(app, [body], headers)
    return answer


def together(app, bodies, headers=None) -> list[tuple[int, dict]]:
    """Requests at the same time."""

    async def ask(client, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        found = await client.post(
            "/predict", content=content, headers={"content-type": "application/json"} | (headers or {})
        )
        return found.status_code, found.json()

    async def main():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await asyncio.gather(*(ask(client, body) for body in bodies))

    return asyncio.run(main())


def get(app, path, base="http://localhost"):
    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            return await client.get(path)

    return asyncio.run(main())


def close(found, wanted, atol=1e-5):
    torch.testing.assert_close(torch.tensor(found), wanted, atol=atol, rtol=1e-5)


@pytest.fixture(scope="module")
def toy():
    one = service()
    return one, application(one)


def test_predictions_are_those_of_the_model(toy):
    one, app = toy
    x = [[0.5, -1.0], [2.0, 3.0], [0.0, 0.1]]
    status, told = post(app, {"inputs": x, "preference": [0.2, 0.8]})
    wanted = one.model(torch.tensor(x), torch.tensor([0.2, 0.8]))
    assert status == 200 and told["preference"] == [pytest.approx([0.2, 0.8])] * 3
    for name in ("sort", "size"):
        close(told["predictions"][name], wanted[name].detach())
    _, one_task = post(app, {"inputs": {"input": x}, "preference": [0.2, 0.8], "tasks": ["sort"], "classes": True})
    assert one_task["predictions"] == {"sort": wanted["sort"].argmax(1).tolist()}


def test_a_preference_for_each_item_is_one_by_one(toy):
    one, app = toy
    x, at = torch.randn(5, 2), torch.tensor([[1.0, 0], [0, 1], [0.3, 0.7], [0.3, 0.7], [1.5, -0.5]])
    status, told = post(app, {"inputs": x.tolist(), "preference": at.tolist()})
    assert status == 200
    for i in range(5):
        close(told["predictions"]["sort"][i], one.model(x[i : i + 1], at[i])["sort"][0].detach())


@pytest.mark.parametrize("method", ["palora", "pamal", "cosmos", "phn"])
def test_every_conditioning_answers_each_item_at_its_own_preference(method):
    torch.manual_seed(1)
    model = methods.get(method)().conditioning.condition(Net(), 2).eval()
    one = service(model=model)
    x, at = torch.randn(3, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]])
    found = one.predict(x, at)
    with torch.no_grad():
        for i in range(3):
            torch.testing.assert_close(found["sort"][i], model(x[i : i + 1], at[i])["sort"][0], atol=1e-5, rtol=1e-5)


def test_rows_as_people_have_them(toy):
    one, app = toy
    items = [{"b": 6, "a": 1.5}, {"a": "2", "b": 2.0}, {"file": base64.b64encode(b"a,b\n1.5,6\n").decode()}]
    status, told = post(app, {"items": items, "preference": [1, 0]})
    x = torch.cat([ROWS.to_input({"a": a, "b": b}) for a, b in ((1.5, 6), (2, 2), (1.5, 6))])
    assert status == 200
    close(told["predictions"]["size"], one.model(x, torch.tensor([1.0, 0.0]))["size"].detach())


class Seen(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return {"sort": self.layer(x.mean((2, 3)))}


def test_pictures_as_people_have_them():
    kind = RGB((8, 12), (0.5,) * 3, (0.25,) * 3)
    one = service(kind=kind, model=made(Seen()), example=torch.zeros(1, 3, 8, 12), tasks=TASKS[:1])
    buffer = io.BytesIO()
    Image.effect_noise((40, 31), 80).convert("RGB").save(buffer, "PNG")
    file = base64.b64encode(buffer.getvalue()).decode()
    status, told = post(application(one), {"items": [{"file": file}], "preference": [0.5, 0.5]})
    x = kind.to_input(kind.read(buffer.getvalue()))
    assert status == 200
    close(told["predictions"]["sort"], one.model(x, torch.tensor([0.5, 0.5]))["sort"].detach())


X = [[0.0, 0.0]]
BAD = {
    "no preference": ({"inputs": X}, 422, "preference is missing; expected 2 numbers"),
    "preference of another size": ({"inputs": X, "preference": [1, 0, 0]}, 422, r"shape [3]; expected 2 numbers"),
    "preferences for other items": ({"inputs": X, "preference": [[1, 0]] * 3}, 422, "shape [3, 2]"),
    "NaN": (b'{"inputs": [[NaN, 0]], "preference": [1, 0]}', 422, "holds NaN"),
    "infinity": (b'{"inputs": [[1e999, 0]], "preference": [1, 0]}', 422, "not finite"),
    "a large weight": ({"inputs": X, "preference": [1e38, 0]}, 422, "beyond 1e+30"),
    "an integer of many digits": (b'{"inputs": [[1%s, 0]], "preference": [1, 0]}' % (b"0" * 400), 422, "number"),
    "text for a number": ({"inputs": [["1", "2"]], "preference": [1, 0]}, 422, "no number ('1')"),
    "nothing for a number": ({"inputs": [[None, 2]], "preference": [1, 0]}, 422, "no number (None)"),
    "truth for a number": ({"inputs": X, "preference": [True, False]}, 422, "no number (True)"),
    "wrong shape": ({"inputs": [[0, 0, 0]], "preference": [1, 0]}, 422, "shape [1, 3]; expected [items, 2]"),
    "no dimension": ({"inputs": [0, 0], "preference": [1, 0]}, 422, "shape [2]; expected [items, 2]"),
    "ragged": ({"inputs": [[0, 0], [0]], "preference": [1, 0]}, 422, "different lengths"),
    "no items": ({"inputs": [], "preference": [1, 0]}, 422, "shape [0]"),
    "other arrays": ({"inputs": {"x": X}, "preference": [1, 0]}, 422, "has x; expected arrays called input"),
    "a number for arrays": ({"inputs": 3, "preference": [1, 0]}, 422, "has 3; expected arrays"),
    "neither": ({"preference": [1, 0]}, 422, "neither is there"),
    "both": ({"inputs": X, "items": [{}], "preference": [1, 0]}, 422, "both are there"),
    "items no list": ({"items": {"a": 1}, "preference": [1, 0]}, 422, "expected a list"),
    "a missing column": ({"items": [{"a": 1}], "preference": [1, 0]}, 422, "Item 0: The table has no column 'b'"),
    "a column of text": ({"items": [{"a": "x", "b": 1}], "preference": [1, 0]}, 422, "'x'; expected a number"),
    "a column of NaN": ({"items": [{"a": "nan", "b": 1}], "preference": [1, 0]}, 422, "'nan'; expected a number"),
    "no base64": ({"items": [{"file": "%"}], "preference": [1, 0]}, 422, "not in base64"),
    "no file": ({"items": [{"file": None}], "preference": [1, 0]}, 422, "not in base64"),
    "an odd item": ({"items": [5], "preference": [1, 0]}, 422, "Item 0: found 5; expected"),
    "too many items": ({"inputs": X * 5, "preference": [1, 0]}, 413, "has 5 items; expected at most 4"),
    "an unknown field": ({"inputs": X, "preference": [1, 0], "lambda": 1}, 422, "'lambda' is not known"),
    "an unknown task": ({"inputs": X, "preference": [1, 0], "tasks": ["depth"]}, 422, "expected some of sort, size"),
    "classes no truth": ({"inputs": X, "preference": [1, 0], "classes": 1}, 422, "neither true nor false"),
    "no JSON": (b"preference=1", 400, "is no JSON"),
    "no UTF-8": (b"\xff\xfe\x00", 400, "is no JSON"),
    "a list": ([1], 400, "no JSON object"),
    "nested deeply": (b"[" * 100_000, 400, "deeply"),
    "too large": (b" " * 200_000, 413, "more than 0.1 MB"),
}


@pytest.fixture(scope="module")
def strict():
    return application(service(Limits(body_mb=0.1, items=4)))


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_one_sentence(strict, case):
    body, status, sentence = BAD[case]
    found, told = post(strict, body)
    assert (found, list(told)) == (status, ["error"]) and sentence in told["error"], told
    assert "\n" not in told["error"] and len(told["error"]) < 400 and told["error"].endswith((".", "…"))


def test_inputs_that_nobody_has_are_sent_as_arrays():
    app = application(service(kind=Input()))
    assert "send inputs" in post(app, {"items": [1], "preference": [1, 0]})[1]["error"]
    assert post(app, {"inputs": X, "preference": [1, 0]})[0] == 200


def test_whole_numbers_stay_whole_and_may_be_of_any_length():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, x):
            return {"sort": self.head(self.words(x).mean(1))}

    model = made(Words())
    app = application(service(kind=Input(), model=model, example=torch.zeros(1, 6, dtype=torch.long), tasks=TASKS[:1]))
    status, told = post(app, {"inputs": [[1, 2, 3]], "preference": [0.5, 0.5]})
    assert status == 200
    close(told["predictions"]["sort"], model(torch.tensor([[1, 2, 3]]), torch.tensor([0.5, 0.5]))["sort"].detach())
    assert "fractions" in post(app, {"inputs": [[1.5]], "preference": [1, 0]})[1]["error"]
    status, told = post(app, {"inputs": [[77]], "preference": [1, 0]})
    assert status == 422 and "The network failed" in told["error"]


def test_other_addresses_and_types_are_sentences(toy):
    _, app = toy
    assert get(app, "/nothing").json()["error"].startswith("There is nothing here")
    assert get(app, "/predict").status_code == 405 and "POST" in get(app, "/predict").json()["error"]
    status, told = post(app, {"inputs": X, "preference": [1, 0]}, {"content-type": "text/plain"})
    assert status == 415 and "application/json" in told["error"]  # a page of somebody else's may send text
    foreign = get(app, "/model", "http://evil.example")
    assert foreign.status_code == 403 and "evil.example" in foreign.json()["error"]
    assert get(application(toy[0], ["models.example"]), "/model", "http://models.example:8000").status_code == 200


def test_it_says_what_it_is(toy):
    _, app = toy
    assert get(app, "/health").json() == {"status": "ok", "model": "Toy"}
    told = get(app, "/model").json()
    assert told["objectives"] == ["sort", "size"] and told["tasks"][0]["classes"] == ["x", "y", "z"]
    assert told["inputs"] == {"input": {"shape": ["items", 2], "dtype": "float32"}} and told["limits"]["items"] == 64
    api = get(app, "/openapi.json").json()
    schema = api["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert api["openapi"] == "3.1.0" and set(schema["properties"]) == {
        "items",
        "inputs",
        "preference",
        "tasks",
        "classes",
    }
    for path in api["paths"].keys() - {"/predict"}:
        assert get(app, path).status_code == 200
    page = get(app, "/").text
    assert "Toy" in page and "sort" in page and "http" not in page.replace("http</", "").split("<style>")[1]


def test_metrics_count(toy):
    app = application(toy[0])
    post(app, {"inputs": X * 3, "preference": [1, 0]})
    post(app, {"inputs": X})
    text = get(app, "/metrics").text
    assert 'palora_requests_total{status="200"} 1\n' in text and 'palora_requests_total{status="422"} 1\n' in text
    assert "palora_items_total 3\n" in text and "palora_waiting 0\n" in text
    assert 'palora_request_seconds_bucket{le="+Inf"} 2\n' in text and "palora_request_seconds_count 2\n" in text


LAMBDA = st.floats(-1, 2, width=32)
REQUESTS = st.lists(st.tuples(st.lists(LAMBDA, min_size=2, max_size=2), st.integers(1, 3)), min_size=2, max_size=8)


@settings(max_examples=12, deadline=None)
@given(requests=REQUESTS)
def test_requests_at_once_do_not_mix(toy, requests):
    one, app = toy
    bodies = [{"inputs": [[i / 4, n]] * n, "preference": at} for i, (at, n) in enumerate(requests)]
    for (status, told), body in zip(together(app, bodies), bodies):
        assert status == 200
        with torch.no_grad():
            wanted = one.model(torch.tensor(body["inputs"], dtype=torch.float32), torch.tensor(body["preference"]))
        close(told["predictions"]["sort"], wanted["sort"])


def test_too_much_at_once_and_too_long_are_503(monkeypatch):
    one, go = service(Limits(waiting=2, seconds=0.3)), threading.Event()
    monkeypatch.setattr(one, "answer", lambda body: (go.wait(10), (b"{}", 0))[1])
    answers = together(application(one), [{}] * 4)
    go.set()
    told = [told["error"] for status, told in answers if status == 503]
    assert (
        sum("2 requests are in work" in one for one in told) == 2
        and sum("No answer within" in one for one in told) == 2
    )


def test_the_line_is_free_again_after_all_that():
    one = service(Limits(waiting=1, seconds=5))
    app = application(one)
    assert [status for status, _ in together(app, [{"inputs": X, "preference": [1, 0]}] * 3)].count(503) == 2
    deadline = time.monotonic() + 5
    while post(app, {"inputs": X, "preference": [1, 0]})[0] != 200:
        assert time.monotonic() < deadline


def test_limits_are_more_than_nothing():
    with pytest.raises(UserError, match=r"The limit items is 0; expected more than 0"):
        Limits(items=0)


def test_a_record_is_sent_by_its_fields():
    kind = Record((Field("age", low=17, high=90, scales=(Scale(38.0, 13.0),)), Field("sex", ("F", "M"), high=1)))

    class Person(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return {"sort": self.layer(x)}

    model = made(Person())
    app = application(service(kind=kind, model=model, example=torch.zeros(1, 3), tasks=TASKS[:1]))
    status, told = post(app, {"items": [{"age": 40, "sex": "M"}], "preference": [0, 1]})
    assert status == 200
    close(
        told["predictions"]["sort"],
        model(kind.to_input({"age": 40, "sex": "M"}), torch.tensor([0.0, 1.0]))["sort"].detach(),
    )
    assert "expected one of F, M" in post(app, {"items": [{"age": 40, "sex": "X"}], "preference": [0, 1]})[1]["error"]


def test_a_shipped_model_is_served():
    one = service_of(Path(__file__).parents[1] / "trained_models" / "fairness")
    person = one.kind.to_shown(one.example[0])
    data, count = one.answer(json.dumps({"items": [person], "preference": [0.2, 0.3, 0.5]}).encode())
    wanted = one.model(one.example, torch.tensor([0.2, 0.3, 0.5]))["income"].detach()
    assert count == 1
    close(json.loads(data)["predictions"]["income"], wanted)


@pytest.mark.slow
def test_the_command_serves_this_machine_only(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "palora_core",
        "serve",
        str(root / "trained_models" / "fairness"),
        "--port",
        str(port),
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=root, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 120
            while "serving" not in (tmp_path / "log").read_text() or not answers(port):
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
            told = httpx.get(f"http://127.0.0.1:{port}/model").json()
            person = service_of(root / "trained_models" / "fairness")
            item = person.kind.to_shown(person.example[0])
            found = httpx.post(
                f"http://127.0.0.1:{port}/predict", json={"items": [item], "preference": [1, 0, 0]}
            ).json()
            assert told["objectives"][0] == "income" and len(found["predictions"]["income"]) == 1
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False
