"""Errors that are meant to be read by a person."""

import reprlib

# Characters of a whole message, and of what it quotes from a file, a browser or a command line.
MOST_OF_MESSAGE = 700
MOST_OF_QUOTE = 80


class UserError(ValueError):
    """Something a person asked for cannot be done, and they can put it right.

    The message is one clear sentence that names what was found, what was expected and what to do about it. Scripts
    print it without a traceback and the app shows it as a notice; every other exception is a fault of the program.
    Whatever the sentence quotes, it stays short enough to be read: a longer one loses its middle.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(str(sentence), MOST_OF_MESSAGE))


def shortened(text: str, most: int = MOST_OF_QUOTE) -> str:
    """``text`` with its middle left out where it has more than ``most`` characters."""
    if len(text) <= most:
        return text
    end = (most - 3) // 3
    return f"{text[: most - 3 - end]} … {text[len(text) - end :]}"


def quoted(value: object, most: int = MOST_OF_QUOTE) -> str:
    """A foreign text or another value as a message quotes it: on one line, with at most ``most`` characters."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = most
    try:
        return shortened(short.repr(value), most)
    except ValueError:  # Python refuses to write down whole numbers of many thousand digits
        return f"a value of type {type(value).__name__}"


def one_line(error: BaseException, last: bool = False) -> str:
    """A foreign error in a message: its kind and text on one line; ``last``: the last line, as a worker repeats one."""
    kind, lines = type(error).__name__, str(error).strip().splitlines() or [""]
    text = shortened(" ".join((lines[-1] if last else " ".join(lines)).split()), 200)
    if text.startswith(f"{kind}:"):
        return text
    return f"{kind}: {text}" if text else kind
