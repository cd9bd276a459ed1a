"""What all sessions of one server share, made on first use."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

from app.library.models import ModelRegistry
from app.pictures.uploads import UploadStore
from app.serving.inference import Inference
from app.settings import models_root, runs_root


@dataclass(frozen=True)
class Services:
    """Models, people's pictures and the inference queue."""

    registry: ModelRegistry
    uploads: UploadStore
    inference: Inference


_lock = threading.Lock()
_services: Services | None = None


def services() -> Services:
    """The one set of this process."""
    global _services
    with _lock:
        if _services is None:
            torch.set_num_threads(1)
            registry, uploads = ModelRegistry(models_root(), runs_root()), UploadStore()
            _services = Services(registry, uploads, Inference(registry, uploads))
        return _services


def reset() -> None:
    """Forget everything (tests point the roots elsewhere)."""
    global _services
    with _lock:
        if _services is not None:
            _services.inference.close()
        _services = None
