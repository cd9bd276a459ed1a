"""λ by sliders whose weights always sum to 1."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.serving.protocol import snap

STEP = 0.01
CENTRE, OTHER = "all tasks alike", "as chosen on another page"
_GIVEN, _TOLD = "preference given", "preference told"


def preference_input(names: Sequence[str], start: Sequence[float]) -> list[float]:
    """λ [T]: a slider for two tasks, three that move each other for three, corners and centre beyond.

    Args:
        names: of the tasks, for people.
        start: λ [T] to stand at; when it is another one than was given last, the widgets go there.
    """
    if st.session_state.get(_TOLD) != list(start):
        _stand_at(start)
    weights: list[float] = st.session_state[_GIVEN]
    for t, weight in enumerate(weights):  # a widget's own memory ends with its page
        st.session_state.setdefault(f"weight{t}", weight)
    if len(names) == 2:
        st.slider(f"λ: weight of {names[1]}", 0.0, 1.0, step=STEP, key="weight1", on_change=_moved, args=(1, 2))
    elif len(names) == 3:
        with st.container(horizontal=True):
            for t, name in enumerate(names):
                st.slider(name, 0.0, 1.0, step=STEP, key=f"weight{t}", width=104, on_change=_moved, args=(t, 3))
    else:
        places = dict(zip(names, _corners(len(names)))) | {CENTRE: list(snap([1 / len(names)] * len(names), True))}
        here = next((name for name, place in places.items() if place == weights), OTHER)
        st.session_state["corner"] = here
        options = [CENTRE, *names, *([OTHER] if here == OTHER else [])]
        st.selectbox("λ", options, key="corner", on_change=_cornered, args=(tuple(names),))
    if len(weights) <= 6:
        st.caption(f"λ = ({', '.join(f'{value:g}' for value in weights)})")
    st.session_state[_TOLD] = weights
    return weights


def _moved(task: int, num_tasks: int) -> None:
    """One slider was moved: the others keep their proportions and take what is left."""
    weight, before = st.session_state[f"weight{task}"], st.session_state[_GIVEN]
    others = sum(value for t, value in enumerate(before) if t != task)
    shares = [value / others if others > 0 else 1 / (num_tasks - 1) for value in before]
    _stand_at([weight if t == task else (1 - weight) * shares[t] for t in range(num_tasks)])


def _cornered(names: tuple[str, ...]) -> None:
    """A corner or the centre was chosen."""
    name = st.session_state["corner"]
    if name != OTHER:
        _stand_at(_corners(len(names))[names.index(name)] if name in names else [1 / len(names)] * len(names))


def _corners(count: int) -> list[list[float]]:
    return [[float(t == corner) for t in range(count)] for corner in range(count)]


def _stand_at(preference: Sequence[float]) -> None:
    """λ on the simplex, in the four decimals that all pages have, and the sliders where it stands."""
    inside = [min(1.0, max(0.0, value)) for value in preference]
    total = sum(inside)
    shares = [value / total for value in inside] if total else [1 / len(inside)] * len(inside)
    st.session_state[_GIVEN] = list(snap(shares, exact=True))
    for t, value in enumerate(st.session_state[_GIVEN]):
        st.session_state[f"weight{t}"] = value
