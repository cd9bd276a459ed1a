"""Messages for people: one line, short whatever they quote."""

import pytest

from palora_core.errors import MOST_OF_MESSAGE, MOST_OF_QUOTE, UserError, quoted, shortened


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 200, 10**6])
@pytest.mark.parametrize("most", [20, 80, 81, 82])
def test_shortened_keeps_both_ends(length, most):
    text = "begin" + "x" * length + "end"
    short = shortened(text, most)
    assert len(short) == min(len(text), most) and short.startswith("begin") and short.endswith("end")
    assert (" … " in short) == (len(text) > most)


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines",
        "x" * 10**6,
        "\ud800",
        b"\0" * 10**6,
        10**400,
        10**5000,
        [["a" * 10**5] * 1000] * 1000,
        {1: 2},
        None,
    ],
    ids=lambda value: str(type(value)),
)
def test_quotes_are_short_and_on_one_line(value):
    text = quoted(value)
    assert 0 < len(text) <= MOST_OF_QUOTE and "\n" not in text
    text.encode()


def test_quotes_of_ordinary_values_are_whole():
    assert quoted("multimnist") == "'multimnist'" and quoted(0.25) == "0.25" and quoted([1, 2]) == "[1, 2]"


def test_a_message_stays_readable_whatever_it_quotes():
    message = str(UserError(f"There is no {'junk' * 30_000!r}; choose another."))
    assert len(message) == MOST_OF_MESSAGE and message.startswith("There is no") and message.endswith("choose another.")
