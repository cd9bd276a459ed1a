"""Ask me: which of these two? A dozen answers lead to a λ, with how sure it is."""

from __future__ import annotations

import streamlit as st

from app import state
from app.analysis import trade_offs
from app.analysis.asking import QUESTIONS, Interview, Liking, Reply
from app.analysis.queries import columns, interpolate
from app.bench.preferences import told
from app.components.plain import plain
from app.library.loading import LoadedModel

LEAST = 4  # answers before a λ is offered
KEPT = "interviews"


def ask_panel(loaded: LoadedModel) -> None:
    """The next question, and what the answers so far say."""
    assert loaded.front is not None
    leading = trade_offs.leading(columns(loaded.front, loaded.tasks), loaded.tasks)
    interview = Interview(loaded.front, leading)
    replies: list[Reply] = st.session_state.setdefault(KEPT, {}).setdefault(loaded.key, [])
    if len(replies) < QUESTIONS:
        _question(loaded, interview, replies)
    if len(replies) >= LEAST:
        _offer(loaded, interview.liking(replies))
    if replies and st.button("Begin again", key="ask_again", icon=":material/restart_alt:"):
        replies.clear()
        st.rerun()


def _question(loaded: LoadedModel, interview: Interview, replies: list[Reply]) -> None:
    """Two trade-offs by their figures; each can be looked at before one is chosen."""
    assert loaded.front is not None
    pair = interview.question(replies)
    st.caption(f"Question {len(replies) + 1} of {QUESTIONS}: which of the two would you rather have?")
    for place, (column, name) in enumerate(zip(st.columns(2), ("First", "Second"))):
        with column:
            for figure in interview.columns:
                value = float(interpolate(loaded.front.preferences, figure.values, list(pair[place]))[0])
                arrow = "↑" if figure.metric.higher_is_better else "↓"
                st.markdown(plain(f"{figure.label} {arrow} ") + f"**{plain(figure.metric.format(value))}**")
            if st.button("Look at it", key=f"ask_look_{place}", width="stretch"):
                state.send(loaded, preference=list(pair[place]))
            if st.button(name, key=f"ask_{place}", type="primary", width="stretch"):
                _reply(replies, Reply(pair[place], pair[1 - place]))
    if st.button("I do not mind", key="ask_same", width="stretch"):
        _reply(replies, Reply(*pair, same=True))


def _reply(replies: list[Reply], reply: Reply) -> None:
    replies.append(reply)
    st.rerun()


def _offer(loaded: LoadedModel, liking: Liking) -> None:
    """What the answers lead to."""
    within = ", ".join(f"±{spread:.2f}" for spread in liking.spread)
    st.success(plain(f"Your answers lead to {told(liking.preference)}, four times out of five within ({within})."))
    if st.button("Go there", key="ask_go", icon=":material/near_me:", width="stretch"):
        state.send(loaded, preference=list(liking.preference))
