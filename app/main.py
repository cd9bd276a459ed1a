"""The pages and their order. Add a page: write ``app/pages/<name>.py`` and one line here."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # for AppTest and `streamlit run app/main.py`; app.py has done it otherwise
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402

from app import views  # noqa: E402
from app.components.plain import plain  # noqa: E402
from app.components.shell import shell  # noqa: E402
from app.components.train_panel import train_popover  # noqa: E402
from palora_core import plugins  # noqa: E402

# section, file, title, icon; files that do not exist yet are left out
PAGES = (
    ("Steer", "explore.py", "Explore", ":material/tune:"),
    ("Steer", "probe.py", "Probe", ":material/science:"),
    ("Evaluate", "compare.py", "Compare", ":material/leaderboard:"),
    ("Evaluate", "models.py", "Models", ":material/inventory_2:"),
    ("Make", "train.py", "Train", ":material/model_training:"),
    ("Understand", "learn.py", "Learn", ":material/school:"),
)

st.set_page_config(
    page_title="PaLoRA Studio", page_icon=str(HERE / "icon.png"), layout="wide", initial_sidebar_state=260
)

st.html(HERE / "style.css")

sections: dict[str, list[st.Page]] = {}
for section, file, title, icon in PAGES:
    if (HERE / "pages" / file).is_file():
        page = st.Page(f"pages/{file}", title=title, icon=icon, default=file == "explore.py")
        sections.setdefault(section, []).append(page)
chosen = st.navigation(sections)
with st.sidebar:  # before the page, so that it stands in the same place on all of them and is there at once
    train_popover()
    shell()
for problem in [*plugins.problems(), *views.problems()]:
    st.warning(plain(problem), icon=":material/extension_off:")
chosen.run()
