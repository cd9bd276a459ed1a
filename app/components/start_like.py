"""The form of a new run filled in as another one was: benchmark, method, parts, and every option that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.option_widgets import state_of
from app.components.plain import plain
from app.components.train_panel import PARTS
from app.jobs import FORBIDDEN_SETTINGS
from app.library.configurations import settings
from app.library.models import ModelRegistry
from palora_core import checkpoint
from palora_core.config import options
from palora_core.errors import UserError
from palora_core.training.setup import configure

LIKE = "like"


def prefill(key: str, registry: ModelRegistry) -> None:
    """Once per link ``?like=MODEL``: put its settings into the widgets of the form ``key``, and say so."""
    model = st.query_params.get(LIKE)
    if not model:
        return
    try:
        entry = registry.entry(model)
        if st.session_state.get("filled like") != model:
            st.session_state.update(answers_of(checkpoint.read_card(entry.folder), key))
            st.session_state["filled like"] = model
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/content_copy:")
        return
    st.info(f"Filled in as **{plain(entry.title)}** was trained; change what you like.", icon=":material/content_copy:")


def answers_of(card: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Key of a widget of the form → its state, for the settings that a card tells.

    Raises:
        UserError: made with a benchmark or a method that this program does not have.
    """
    benchmark, method = str(card["benchmark"]["name"]), str(card["method"]["name"])
    told = settings(card)
    usual = configure(benchmark, method, {})[1]
    parts = {part: name for part in PARTS if (name := _part(told, part)) and name != _name_of(usual, part)}
    bench, chosen, training = configure(benchmark, method, {}, parts)
    scope = f"{key}.{benchmark}.{method}"
    found: dict[str, Any] = {f"{key}.benchmark": benchmark, f"{key}.method": method}
    found |= {f"{scope}.{part}": name for part, name in parts.items()}
    inner = scope + "".join(f".{name}" for name in parts.values())
    groups = {"benchmark": (bench, scope, "benchmark.options."), "training": (training, scope, "training.")}
    groups["method"] = (chosen, inner, "method.")
    # The seed is no setting of a configuration, and yet one of a run.
    told["training.seed"] = (card.get("training") or {}).get("seed")
    for group, (config, place, prefix) in groups.items():
        for option in options(config):
            value = told.get(f"{prefix}{option.path}")
            if value is not None and option.name not in FORBIDDEN_SETTINGS:
                found[f"{place}.{group}.{option.path}"] = state_of(option, value)
    return found


def _part(told: Mapping[str, Any], part: str) -> str:
    return str(told.get(f"method.{part}.name") or "")


def _name_of(method: Any, part: str) -> str:
    return str(PARTS[part].name_of(getattr(method, part)))
