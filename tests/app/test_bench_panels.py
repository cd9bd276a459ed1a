"""The bench's panels on toy models: limits, the journal, the decision and its report, trust, Ask me."""

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

SHORT = "A:1,0:as it was;B:0.5,0.5;C:0,1"


def panel(name: str, model: str = "two", kept: str = SHORT, bounds: str = "") -> AppTest:
    """One panel of the page on a view that came by a link, as a script of its own."""

    def script(name: str, model: str, kept: str, bounds: str) -> None:
        import streamlit as st

        from app import state
        from app.components import ask_panel, finder, journal_panel
        from app.services import services

        loaded = services().registry.get(model)
        if "begun" not in st.session_state:
            st.session_state["begun"] = True
            st.session_state["link"] = {"model": model, "kept": kept, "against": "A", "bounds": bounds}
            state.view(loaded)
        panels = {
            "finder": finder.finder,
            "journal": journal_panel.journal_panel,
            "decide": journal_panel.decision_panel,
            "ask": ask_panel.ask_panel,
        }
        if st.button("move", key="move"):
            state.remember(loaded, {"preference": [0.25, 0.75], "image": "sample-1"})
        if st.button("keep", key="keep"):
            shortlist = state.view(loaded).shortlist.kept(model, (0.25, 0.75))
            state.remember(loaded, {"shortlist": shortlist.to_json()})
        panels[name](loaded)
        st.json(state.view(loaded).to_json())
        st.json([event.said for event in state.journal(loaded)])

    given = {"name": name, "model": model, "kept": kept, "bounds": bounds}
    app = AppTest.from_function(script, default_timeout=200, kwargs=given)
    app.run()
    assert not app.exception, app.exception
    return app


def view(app: AppTest) -> dict:
    return json.loads(app.json[0].value)


def said(app: AppTest) -> list[str]:
    return json.loads(app.json[1].value)


def press(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception, app.exception


def test_limits_are_set_taken_back_and_all_count(roots):
    app = panel("finder")
    for key in ("segmentation/miou", "depth/abs_err"):
        app.selectbox(key="find_bound").set_value(key).run()
        press(app, "find_set")
    bounds = view(app)["bounds"]
    assert [bound["key"] for bound in bounds] == ["segmentation/miou", "depth/abs_err"]
    press(app, "find_go")
    (found,) = [*app.success, *app.warning]
    assert "segmentation mIoU" in found.value and "depth absolute error" in found.value
    press(app, "unbound_segmentation/miou")
    assert [bound["key"] for bound in view(app)["bounds"]] == ["depth/abs_err"]
    assert said(app)[-1].startswith("set limits: depth/abs_err")


def test_limits_that_exclude_each_other_say_what_stands_in_the_way(roots):
    app = panel("finder", bounds="segmentation/miou:0.999;depth/abs_err:0.000001")
    press(app, "find_go")
    (warning,) = app.warning
    assert warning.value.startswith("No preference meets all 2 limits") and "misses" in warning.value


def test_the_knee_and_what_is_as_good_are_gone_to(roots):
    app = panel("finder")
    press(app, "find_knee")
    assert "is the knee" in app.success[0].value
    press(app, "find_look")
    assert len(app.success) + len(app.warning) == 1


def test_the_journal_is_undone_replayed_and_gone_back_to(roots):
    app = panel("journal")
    press(app, "move")
    press(app, "keep")
    assert said(app) == [
        "began at λ = (0.50, 0.50)",
        "looked at λ = (0.25, 0.75), sample 2",
        "kept D, λ = (0.25, 0.75)",
    ]
    assert len(view(app)["shortlist"]["candidates"]) == 4
    press(app, "journal_undo")
    assert len(view(app)["shortlist"]["candidates"]) == 3 and len(said(app)) == 3
    press(app, "journal_Back")
    assert view(app)["preference"] == [0.5, 0.5] and len(said(app)) == 3, "a replay is no step"
    press(app, "journal_go_2")
    assert len(view(app)["shortlist"]["candidates"]) == 4 and said(app)[-1] == "back to step 3"


def test_a_decision_is_kept_with_its_report(roots):
    app = panel("decide", bounds="segmentation/miou:0.1")
    app.text_input(key="decision_question").set_value("Which for the car? <b>").run()
    app.selectbox(key="decision_choice").set_value("B").run()
    app.text_area(key="decision_reason").set_value("neither is hurt much").run()
    assert view(app)["decision"] == {
        "question": "Which for the car? <b>",
        "choice": "B",
        "reason": "neither is hurt much",
    }
    assert said(app)[-1] == "chose B: neither is hurt much"


def test_the_report_tells_what_the_page_does(roots):
    from app.bench.journal import Journal
    from app.bench.shortlist import Shortlist
    from app.bench.view import Decision, View
    from app.components.shortlist import figures
    from app.exports.report import decision

    loaded = roots.registry.get("two")
    shortlist = Shortlist().kept("two", (1.0, 0.0), note="<i>as it was</i>").kept("two", (0.5, 0.5))
    seen = View("two", (0.5, 0.5), "sample-0", None, shortlist, decision=Decision("Which?", "B", "because"))

    steps = Journal().seen(seen, seen.at((0.1, 0.9)))
    page = decision.decision_report(roots, loaded, seen, steps, "sample 1").decode()
    assert "<h1>Which?</h1>" in page and "B, λ = (0.50, 0.50)" in page and "because" in page and "<i>" not in page
    miou = next(metric for metric in loaded.tasks[0].metrics if metric.name == "miou")
    shown = [figures(loaded, one)["segmentation/miou"] for one in shortlist]
    assert f"{miou.format(shown[1])} ({miou.change(shown[1], shown[0])})" in page
    assert page.count("<figure>") == 2 * 3, "the ground truth and two candidates, of two tasks"
    assert "palora export two --preference 0.5 0.5" in page and "looked at λ = (0.10, 0.90)" in page
    assert not re.search(r"@[A-Z]+@", page)


def test_how_sure_figures_are_needs_items(roots):
    app = panel("decide")
    press(app, "trust_go")
    assert len(app.table) + len(app.warning) == 1
    if app.warning:
        assert "a bootstrap needs at least 8" in app.warning[0].value


def test_questions_lead_to_a_preference(roots):
    app = panel("ask")
    for _ in range(4):
        press(app, "ask_0")
    assert "Your answers lead to λ" in app.success[0].value and "±" in app.success[0].value
    press(app, "ask_go")
    for _ in range(8):
        press(app, "ask_same")
    assert "ask_0" not in [button.key for button in app.button], "a dozen is enough"
    press(app, "ask_again")
    assert not app.success


@pytest.mark.parametrize("model", ["three", "seven"])
def test_panels_work_with_any_number_of_tasks(roots, model):
    for name in ("finder", "ask", "decide", "journal"):
        panel(name, model, kept="")
