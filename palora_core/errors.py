"""Errors that are meant to be read by a person."""


class UserError(ValueError):
    """Something a person asked for cannot be done, and they can put it right.

    The message is one clear sentence that names what was found, what was expected and what to do about it. Scripts
    print it without a traceback and the app shows it as a notice; every other exception is a fault of the program.
    """
