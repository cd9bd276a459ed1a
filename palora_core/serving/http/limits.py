"""What one request, and all of them together, may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from palora_core.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Bounds of a service; what lies beyond is refused in a sentence before anything is computed.

    Attributes:
        body_mb: of one request, in MB.
        items: inputs of one request.
        waiting: requests that are computed or wait for it; more are answered with 503 at once.
        seconds: that a request may take to arrive, and then to be answered, waiting included.
    """

    body_mb: float = 20.0
    items: int = 64
    waiting: int = 32
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:
                raise UserError(f"The limit {one.name} is {getattr(self, one.name)}; expected more than 0.")


class Refused(UserError):
    """A request that is not answered, with the status of HTTP that says whose fault that is."""

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.status = status
