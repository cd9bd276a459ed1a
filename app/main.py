"""The pages and their order. Add a page: write ``app/pages/<name>.py`` and one line here."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # for AppTest and `streamlit run app/main.py`; app.py has done it otherwise
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402

from app.components.train_panel import train_popover  # noqa: E402

# section, file, title, icon; files that do not exist yet are left out
PAGES = (
    ("Steer", "explore.py", "Explore", ":material/tune:"),
    ("Steer", "probe.py", "Probe", ":material/science:"),
    ("Evaluate", "compare.py", "Compare", ":material/leaderboard:"),
    ("Evaluate", "models.py", "Models", ":material/inventory_2:"),
    ("Make", "train.py", "Train", ":material/model_training:"),
    ("Understand", "learn.py", "Learn", ":material/school:"),
)

st.set_page_config(page_title="PaLoRA", page_icon=str(HERE / "icon.png"), layout="wide", initial_sidebar_state=260)

# The default leaves 6 rem above every page; on a laptop that is the height of a row of pictures. Beside the sidebar of
# a tablet, columns wrap before they squeeze what is in them.
st.html(
    "<style>[data-testid='stMainBlockContainer']{padding:3.8rem 2.2rem 2rem}"
    "@media(max-width:1000px){[data-testid='stMain'] [data-testid='stColumn']{min-width:min(100%,215px)}"
    "[data-testid='stMain'] [data-testid='stColumn']:has([data-testid='stPlotlyChart']){min-width:min(100%,330px)}}"
    "@media(max-width:600px){[data-testid='stMainBlockContainer']{padding:3.6rem 1rem 2rem}}</style>"
)

sections: dict[str, list[st.Page]] = {}
for section, file, title, icon in PAGES:
    if (HERE / "pages" / file).is_file():
        page = st.Page(f"pages/{file}", title=title, icon=icon, default=file == "explore.py")
        sections.setdefault(section, []).append(page)
chosen = st.navigation(sections)
with st.sidebar:  # before the page, so that it stands in the same place on all of them and is there at once
    train_popover()
chosen.run()
