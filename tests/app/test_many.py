"""Eight sessions at once on a real server, as sockets: everybody gets the pictures of their own λ, and a fair share."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from app.serving.protocol import unpack

SESSIONS = 8
REQUESTS = 30


class Client(threading.Thread):
    """Asks for one λ after the other, as fast as it is answered."""

    def __init__(self, address: str, number: int, together: threading.Barrier, finished) -> None:
        super().__init__(daemon=True)
        self.address = address.replace("http", "ws") + "/palora/ws"
        self.random = np.random.default_rng(number)
        self.together = together
        self.finished = finished
        self.image = f"sample-{number % 4}"
        self.answers: list[tuple[tuple[float, ...], list[bytes]]] = []
        self.problem = ""

    def run(self) -> None:
        connect = pytest.importorskip("websockets.sync.client").connect
        try:
            with connect(self.address, open_timeout=120) as socket:
                self.together.wait()  # or the first has all its answers before the last has come
                self.talk(socket)
        except Exception as error:
            self.problem = repr(error)
            self.together.abort()

    def talk(self, socket) -> None:
        for seq in range(1, REQUESTS + 1):
            weight = round(float(self.random.uniform()), 4)
            preference = [weight, round(1 - weight, 4)]
            message = {"type": "predict", "seq": seq, "model": "two", "image": self.image, "exact": True}
            socket.send(json.dumps({**message, "preference": preference}))
            header, blobs = unpack(socket.recv(timeout=120))
            if header["seq"] != seq or header["preference"] != pytest.approx(preference, abs=1e-4):
                self.problem = f"asked {seq} {preference}, got {header['seq']} {header['preference']}"
                return
            self.answers.append((tuple(preference), blobs))
        self.finished(self)


def test_eight_sessions_at_once(server, model_root):
    import torch

    from app.library.models import ModelRegistry

    progress: list[list[int]] = []
    clients: list[Client] = []
    together = threading.Barrier(SESSIONS, timeout=120)
    for number in range(SESSIONS):
        clients.append(Client(server, number, together, lambda _: progress.append([len(c.answers) for c in clients])))
    [client.start() for client in clients]
    [client.join(200) for client in clients]
    assert [client.problem for client in clients] == [""] * SESSIONS
    assert min(progress[0]) > REQUESTS / 3, f"when the first had all its answers, the others had {progress[0]}"
    loaded = ModelRegistry(model_root, model_root / "no runs").get("two")
    for number, client in enumerate(clients):
        x, _ = loaded.samples.batch(torch.tensor([number % 4]))
        preference, blobs = client.answers[-1]
        with torch.no_grad():
            prediction = loaded.model(x, torch.tensor(preference))["segmentation"][0]
        expected, colours = loaded.views["segmentation"].draw(prediction).bare()
        assert blobs[0][: 4 * colours] == expected[: 4 * colours]
        shown, wanted = (np.frombuffer(data, np.uint8)[4 * colours :] for data in (blobs[0], expected))
        assert (shown == wanted).mean() > 0.99


def test_memory_of_the_server_does_not_grow_with_sessions(served):
    """Sessions come and go; what they leave behind is bounded."""
    connect = pytest.importorskip("websockets.sync.client").connect
    address, process = served
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("needs Linux's /proc")
    sizes = []
    for _ in range(3):
        for seq in range(40):
            with connect(address.replace("http", "ws") + "/palora/ws", open_timeout=120) as socket:
                message = {"type": "predict", "seq": seq, "model": "two", "image": "sample-0", "preference": [0.5, 0.5]}
                socket.send(json.dumps(message))
                socket.recv(timeout=120)
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        sizes.append(int(kilobytes) / 1024)
    assert sizes[2] - sizes[1] < 10, sizes
