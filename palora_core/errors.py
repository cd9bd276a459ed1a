"""Errors that are meant to be read by a person."""

import math


class UserError(ValueError):
    """Something a person asked for cannot be done, and they can put it right.

    The message is one clear sentence that names what was found, what was expected and what to do about it. Scripts
    print it without a traceback and the app shows it as a notice; every other exception is a fault of the program.
    """


def check_positive(name: str, value: float) -> None:
    """Refuse an option that is no finite number above 0.

    Raises:
        UserError: naming it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < math.inf):
        raise UserError(f"{name} is {value!r}; expected a positive number.")
