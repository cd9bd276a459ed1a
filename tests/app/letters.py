"""A page of odd texts, each as an error, a button, a heading, a choice and a name in a figure."""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

PIECES = (
    *("--plugin", "--", "->", "<-", "<->", ">=", "<=", "~=", "-", ":smile:", ":+1:", ":material/error:", ":streamlit:"),
    *(":red[x]", ":help[x]", ":blue-badge[x]", "www.evil.example", "http://evil.example/t.png", "HTTPS://e.x:80/a?b=c"),
    *("a.b+c@evil.example", "@", "://", "![i](http://x.y/z.png)", "[l](javascript:x)", "[^1]", "<img src=x>", "<!--"),
    *(
        "&lt;",
        "&#60;",
        "**b**",
        "_i_",
        "~~s~~",
        "`code`",
        "`",
        "``",
        "$x$",
        "$$",
        "\\",
        "\\*",
        "|",
        "# h",
        "+",
        "1.",
        "1)",
    ),
    *(
        "%{x}",
        "%{customdata[0]}",
        "{",
        "}",
        "<b>b</b>",
        "é",
        "λ",
        "—",
        "word",
        "x_1",
        "*",
        "^",
        "=",
        "a",
        "A:b:c",
        ":a:b:c:",
    ),
)


def texts(count: int = 120) -> list[str]:
    """Every piece alone, and pieces with and without spaces between them; the same every time."""
    rng = random.Random(0)
    mixed = [rng.choice(("", " ")).join(rng.choices(PIECES, k=rng.randint(2, 6))) for _ in range(count)]
    return [*PIECES, *mixed]


def page() -> None:
    import plotly.graph_objects as go
    import streamlit as st

    from app.components.plain import in_figure, plain

    for number, text in enumerate(texts()):
        with st.container(key=f"text{number}"):
            st.error(plain(text))
            st.button(f"**{plain(text)}**", key=f"button{number}")
            st.subheader(plain(text), anchor=False)
            st.caption(f":red[:material/error: {plain(text)}]")
            st.pills(plain(text), [text], format_func=plain, key=f"pill{number}")
    figure = go.Figure([go.Scatter(x=[0, 1], y=[0, 1], name=in_figure(text)) for text in texts(0)])
    st.plotly_chart(figure.update_layout(height=3000), key="figure")


if __name__ == "__main__":
    page()
