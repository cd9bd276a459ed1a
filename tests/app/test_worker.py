import threading
import time

import pytest

from app.serving import worker as module
from app.serving.worker import IDLE_AFTER, Dropped, Worker

PATIENCE = 60  # seconds; nothing waits this long


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def gate(worker):
    """The worker is busy until the gate opens."""
    gate, busy = threading.Event(), threading.Event()
    worker.submit("blocker", "x", lambda: (busy.set(), gate.wait()))
    assert busy.wait(PATIENCE)
    yield gate
    gate.set()


def test_newest_of_a_session_wins(worker, gate):
    done = []
    futures = [worker.submit("a", "predict", lambda i=i: done.append(i) or i) for i in range(5)]
    gate.set()
    assert futures[-1].result(PATIENCE) == 4
    for future in futures[:-1]:
        with pytest.raises(Dropped):
            future.result(PATIENCE)
    assert done == [4]


def test_sessions_take_turns(worker, gate):
    order = []
    futures = []
    for session in ("a", "b", "c"):
        for kind in ("predict", "scene"):
            futures.append(worker.submit(session, kind, lambda s=session: order.append(s)))
    gate.set()
    [future.result(PATIENCE) for future in futures]
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_a_flooding_session_does_not_hold_up_another(worker, gate):
    served = []

    def flood():
        served.append("flood")
        worker.submit("flood", "predict", flood)  # as soon as it is served it asks again

    for _ in range(500):
        worker.submit("flood", "predict", flood)
    patient = worker.submit("patient", "predict", lambda: served.append("patient"))
    gate.set()
    patient.result(PATIENCE)
    assert served.index("patient") == 1, "after one of the other's"


def test_errors_reach_the_caller_and_the_worker_lives(worker):
    with pytest.raises(ZeroDivisionError):
        worker.submit("a", "predict", lambda: 1 / 0).result(PATIENCE)
    assert worker.submit("a", "predict", lambda: 2).result(PATIENCE) == 2


def test_forgotten_sessions_are_not_served(worker, gate):
    done = []
    future = worker.submit("gone", "predict", lambda: done.append(1))
    worker.forget("gone")
    gate.set()
    worker.submit("other", "predict", lambda: None).result(PATIENCE)
    assert future.cancelled() and not done


def test_idle_time_is_used_and_requests_go_first():
    done, asked, enough = [], threading.Event(), threading.Event()

    def idle():
        asked.wait(PATIENCE)
        done.append("idle")
        if done.count("idle") == 5:
            enough.set()
        return done.count("idle") < 5

    worker = Worker(idle=idle)
    answer = worker.submit("a", "predict", lambda: done.append("request"))
    asked.set()
    answer.result(PATIENCE)
    assert enough.wait(PATIENCE)
    time.sleep(3 * IDLE_AFTER)  # nothing is to happen in this time
    worker.close()
    assert done.index("request") <= 1, "after what was begun before it came, at most"
    assert done.count("idle") == 5


def test_the_patient_wait_for_drags_and_take_turns(worker, gate):
    order, futures = [], []
    for session in ("a", "b"):
        futures.append(worker.submit(session, "stream", lambda s=session: order.append(f"{s} streams"), patient=True))
    for session in ("c", "a"):
        futures.append(worker.submit(session, "predict", lambda s=session: order.append(f"{s} drags")))
    gate.set()
    [future.result(PATIENCE) for future in futures]
    assert order == ["c drags", "a drags", "a streams", "b streams"]


def test_drags_without_end_do_not_starve_the_patient(worker, gate, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    done = threading.Event()

    def drag():
        if not done.is_set():
            worker.submit("drags", "predict", drag)

    worker.submit("drags", "predict", drag)
    streams = worker.submit("streams", "stream", done.set, patient=True)
    gate.set()
    streams.result(PATIENCE)


def test_a_session_that_leaves_streams_no_longer(worker, gate):
    future = worker.submit("gone", "stream", lambda: None, patient=True)
    worker.forget("gone")
    gate.set()
    worker.submit("other", "predict", lambda: None).result(PATIENCE)
    assert future.cancelled()
