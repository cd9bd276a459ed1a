"""Figures and tables of fronts, as pure functions."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from app.components import dominance, front_table, front_views, fronts
from app.components import front_table_files as files
from app.components.figure_download import for_print
from app.components.front_table import Cell, Column
from app.components.method_styles import KNOWN, method_style, preference_colours
from app.components.quantities import quantities
from app.components.sortable_table import table_data
from app.library import leaderboards
from app.library.leaderboards import EvaluatedModel, Leaderboard
from app.library.series import explained, series
from palora_core.config import to_dict
from palora_core.evaluation.front import Front
from palora_core.evaluation.indicators import hypervolume
from palora_core.methods.base import methods
from palora_core.simplex import evaluation_preferences
from tests.app.toy import Toy

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "published" / "multimnist.json"


def board(num_tasks: int) -> Leaderboard:
    toy = Toy("dense", num_tasks) if num_tasks <= 3 else Toy("numbers", num_tasks)
    return Leaderboard(toy, "toy", tuple(toy.tasks))


def model(num_tasks=2, method="palora", seed=0, single=False, shift=0.0, title=None, rank=1) -> EvaluatedModel:
    place = board(num_tasks)
    λ = evaluation_preferences(num_tasks).numpy() if not single else np.full((1, num_tasks), 1 / num_tasks)
    rng = np.random.default_rng(seed)
    objectives = 0.2 + (1 - λ) ** 2 + shift + rng.normal(0, 0.01, λ.shape)
    metrics = {
        f"{task.name}/{metric.name}": (1 - objectives[:, t]).clip(0, 1)
        for t, task in enumerate(place.tasks)
        for metric in task.metrics
    }
    front = Front(λ, objectives, metrics, tuple(t.name for t in place.tasks), tuple(place.reference), {"split": "test"})
    card = {
        "method": {"name": method, "conditioning": {"rank": rank}},
        "training": {"seed": seed, "seconds": 60 + seed, "lr": 0.1},
        "parameters": {"base": 1000, "extra": 125, "overhead_percent": 12.5},
        "benchmark": {"name": "toy", "options": {}},
    }
    return EvaluatedModel(f"{method}-{seed}-{rank}", title or method.upper(), front, card)


def three_methods(num_tasks=2):
    pairs = [("palora", 0), ("palora", 1), ("palora", 2), ("pamal", 0)]
    many = [model(num_tasks, m, s) for m, s in pairs]
    return series([*many, model(num_tasks, "ls", 0, single=True), model(num_tasks, "ls", 1, single=True)])


# -- styles -----------------------------------------------------------------------------------------------------------
def test_every_registered_method_has_its_own_look():
    from palora_core.methods.base import methods

    looks = [method_style(name) for name in methods.names()]
    assert len({(s.colour, s.symbol) for s in looks}) == len(looks)
    assert set(methods.names()) <= set(KNOWN), "append new methods to KNOWN, so that no other one changes its colour"


def test_variants_keep_the_colour_and_published_ones_are_hollow():
    plain, variant, published = (
        method_style("palora"),
        method_style("palora", 1),
        method_style("palora", published=True),
    )
    assert plain.colour == variant.colour == published.colour
    assert len({(s.symbol, s.dash) for s in (plain, variant, published)}) == 3
    assert published.symbol.endswith("-open") and published.dash == "dot"
    assert method_style("never heard of") == method_style("never heard of")


def test_colours_of_preferences():
    assert len(set(preference_colours([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3] * 3]))) == 4
    assert preference_colours([[1, 0], [0, 1]])[0] == method_style("palora").colour.lower()


# -- joining ----------------------------------------------------------------------------------------------------------
def test_seeds_are_joined_and_configurations_told_apart():
    found = series([model(seed=0), model(seed=1), model(seed=0, rank=4)])
    assert [one.name for one in found] == ["PALORA (rank 1)", "PALORA (rank 4)"]
    assert [len(one.members) for one in found] == [2, 1] and [one.variation for one in found] == [0, 1]
    assert found[0].mean.objectives == pytest.approx(np.mean([f.objectives for f in found[0].fronts], axis=0))


def test_the_same_seed_twice_is_not_a_second_seed():
    found = series([model(seed=0), model(seed=0)])
    assert [len(one.members) for one in found] == [1, 1]


def test_a_copy_of_a_model_and_an_older_card_of_the_same_method_are_not_other_lines():
    first, copy, later = model(seed=0), model(seed=0), model(seed=1)
    first.card["weights_sha256"] = copy.card["weights_sha256"] = "1" * 64
    later.card["method"]["added_since"] = ""
    (one,) = series([first, copy, later])
    assert [member.seed for member in one.members] == [0, 1]


def test_seeds_on_other_preferences_are_not_averaged():
    first, second = model(seed=0), model(seed=1)
    half = Front(
        second.front.preferences[:5], second.front.objectives[:5], {}, second.front.tasks, second.front.reference
    )
    (one,) = series([first, EvaluatedModel("x", second.title, half, second.card)])
    assert not one.aligned and one.mean is first.front
    lines = [t for t in fronts.plane([one], *list(quantities(board(2)).values())[:2]).data if t.mode == "lines+markers"]
    assert len(lines) == 2


# -- dominance --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(12))
def test_shaded_area_is_the_difference_of_hypervolumes(seed):
    rng = np.random.default_rng(seed)
    a, b, reference = rng.random((6, 2)), rng.random((4, 2)), (0.9, 0.8)
    both = hypervolume(np.concatenate([a, b]), reference)
    assert dominance.area(dominance.only_first(a, b, reference)) == pytest.approx(both - hypervolume(b, reference))
    assert dominance.area(dominance.only_first(b, a, reference)) == pytest.approx(both - hypervolume(a, reference))
    x, y = dominance.outline(dominance.only_first(a, b, reference))
    assert dominance.outline(dominance.only_first(a, b, reference), flipped=True) == (y, x)


def test_difference_in_numbers():
    better, worse = model(), model(shift=0.1)
    found = dominance.difference(better.front, worse.front, (2, 2))
    assert found.only_first == pytest.approx(found.first - found.second) and found.only_second == pytest.approx(0)
    assert dominance.difference(better.front, worse.front, (1,) * 6) is None
    nothing = np.full((1, 2), np.nan)
    assert dominance.only_first(nothing, nothing, (1, 1)) == []


# -- figures ----------------------------------------------------------------------------------------------------------
def test_plane_has_a_line_a_band_and_a_point():
    shown, known = three_methods(), quantities(board(2))
    x, y = known["segmentation/loss"], known["depth/loss"]
    figure = fronts.plane(shown, x, y, (2, 2), (shown[0], shown[1]))
    modes = [trace.mode for trace in figure.data]
    assert modes.count("lines+markers") == 2 and modes.count("markers") == 1
    assert [t.name for t in figure.data][:2] == ["only PALORA", "only PAMAL"], "areas lie below"
    single = next(t for t in figure.data if t.mode == "markers")
    assert single.error_x.array is not None and len(single.x) == 1
    assert figure.layout.xaxis.title.text == "← better  ·  segmentation loss"
    line = next(t for t in figure.data if t.mode == "lines+markers")
    assert list(line.x) == sorted(line.x, reverse=True), "the line follows λ"


def test_axes_have_units_and_directions():
    known = quantities(board(2))
    assert known["segmentation/miou"].title == "segmentation mIoU [%]  ·  better →"
    assert known["depth/abs_err"].title == "← better  ·  depth absolute error [m]"
    one = model()
    assert known["segmentation/miou"].of(one.front) == pytest.approx(100 * one.front.metrics["segmentation/miou"])


def test_metrics_are_not_shaded():
    shown, known = three_methods(), quantities(board(2))
    figure = fronts.plane(shown, known["segmentation/miou"], known["depth/abs_err"], (2, 2), (shown[0], shown[1]))
    assert not any(str(trace.name).startswith("only") for trace in figure.data)


@pytest.mark.parametrize("coloured", [False, True])
def test_three_tasks(coloured):
    shown, known = three_methods(3), quantities(board(3))
    axes = list(known.values())[:3]
    planes = fronts.pairs(shown, axes, coloured)
    assert {trace.xaxis for trace in planes.data} == {"x", "x2", "x3"}
    assert sum(bool(t.showlegend) for t in planes.data) == 3, "each method once in the legend"
    space = front_views.space(shown, axes, coloured)
    assert len(space.data) == 3 and len(space.data[0].x) == 66
    assert front_views.triangles(shown, axes[0], ["a", "b", "c"]).layout.coloraxis.colorscale
    assert front_views.simplex_key(["a", "b", "c"]).data and front_views.simplex_key(["a", "b"]).data


def test_many_tasks_are_parallel_and_bounded():
    shown, known = three_methods(40), quantities(board(40))
    losses = [q for q in known.values() if q.key.endswith("/loss")]
    figure = front_views.parallel(shown, losses)
    values = [v for trace in figure.data for v in trace.y if v is not None]
    assert min(values) >= 0 and max(values) <= 1 and len(figure.data[0].x) <= 41 * front_views.MOST_LINES


def test_one_task_is_a_strip():
    shown, known = three_methods(1), quantities(board(1))
    figure = front_views.strip(shown, known["segmentation/miou"])
    assert [len(trace.x) for trace in figure.data] == [3, 1, 2]


def test_nothing_known_is_no_error():
    one = model()
    blank = Front(one.front.preferences, np.full((11, 2), np.nan), {}, one.front.tasks, one.front.reference)
    shown, known = series([EvaluatedModel("x", "X", blank, one.card)]), list(quantities(board(2)).values())
    assert fronts.plane(shown, known[0], known[2]).data
    assert front_views.parallel(shown, known[:2]).data


def test_pictures_for_print_are_light_and_have_room_for_every_name():
    shown, known = three_methods(), quantities(board(2))
    figure = fronts.plane(shown, known["segmentation/miou"], known["depth/abs_err"])
    few, many = for_print(figure), go.Figure(figure)
    for number in range(40):
        many.add_scatter(x=[1], y=[1], name=f"a method with a rather long name, number {number}")
    many = for_print(many)
    for picture in (few, many):
        assert picture.layout.paper_bgcolor == picture.layout.plot_bgcolor == "#FFFFFF"
    assert many.layout.height >= 22 * 43 and many.layout.width > few.layout.width + 200
    assert figure.layout.width is None, "the figure on the page stays as it is"


def test_options_that_names_tell_apart_are_explained():
    plain, drawn = (model(method="pamal", title="PaMaL") for _ in range(2))
    for one, value in ((plain, False), (drawn, True)):
        method = {"name": "pamal", **to_dict(methods.get("pamal")())}
        method["conditioning"]["reinit"] = value
        one.card["method"] = method
    shown = series([plain, drawn])
    assert [one.name for one in shown] == ["PaMaL (without members drawn anew)", "PaMaL (with members drawn anew)"]
    assert explained(shown)["members drawn anew"].startswith("draw every member anew") and explained(shown[:1]) == {}


def test_names_in_figures_are_no_html_and_no_template():
    (one,) = series([model(title="<a href='http://x'>%{x}</a>")])
    known = quantities(board(2))
    trace = fronts.plane([one], known["segmentation/miou"], known["depth/abs_err"]).data[-1]
    assert "<a" not in trace.name and "<a" not in trace.hovertemplate and trace.hovertemplate.count("%{x}") == 0


# -- table ------------------------------------------------------------------------------------------------------------
def table_of(num_tasks=2, times=None):
    place, shown = board(num_tasks), three_methods(num_tasks)
    wanted = front_table.columns(place, quantities(place), times)
    rows = front_table.rows(shown, wanted)
    return shown, front_table.filled(wanted, rows), rows


def test_table_holds_means_over_seeds():
    shown, wanted, rows = table_of(times={"palora-0-1": 3.5})
    assert rows[0]["hypervolume"].mean == pytest.approx(np.mean([f.hypervolume() for f in shown[0].fronts]))
    assert rows[0]["hypervolume"].std > 0 and rows[1]["hypervolume"].std is None
    assert rows[0]["parameters"].mean == 1125 and rows[0]["seconds"].mean == 61 and rows[0]["milliseconds"].mean == 3.5
    assert rows[2]["spearman depth"] is None, "a single solution has no rank correlation"
    assert {"hypervolume", "nondominated", "points", "overhead", "best depth/abs_err"} <= {c.key for c in wanted}
    data = table_data(shown, ["#000000"] * 3, wanted, rows)
    cell = data["rows"][0]["cells"][0]
    assert (
        cell["value"] == rows[0]["hypervolume"].mean
        and cell["spread"].startswith("± ")
        and cell["text"] == f"{cell['value']:,.4f}"
    )
    assert sum(row["cells"][0]["best"] for row in data["rows"]) == 1 and json.dumps(data, allow_nan=False)


def read(text):
    lines = list(csv.reader(io.StringIO(text)))
    assert len({len(line) for line in lines}) == 1
    return lines


def test_table_as_csv_and_latex():
    shown, wanted, rows = table_of()
    assert [line[0] for line in read(files.table_csv(shown, wanted, rows))] == ["method", "PALORA", "PAMAL", "LS"]
    latex = files.to_latex(shown, wanted, rows)
    assert latex.count(r"\\") == 4 and r"\mathbf" in latex and r"\pm" in latex and r"overhead [\%]" in latex
    assert files.escape("a_b & 5 % λ") == r"a\_b \& 5 \% $\lambda$"


def test_seeds_and_points_have_rows_of_their_own():
    shown, wanted, _ = table_of()
    seeds = read(files.seeds_csv(shown, wanted))
    assert [line[0] for line in seeds[1:]] == ["PALORA"] * len(shown[0].members) + [
        "PAMAL",
        "LS",
        *["LS"] * (len(shown[2].members) - 1),
    ]
    place = seeds[0].index(wanted[0].heading)
    assert float(seeds[1][place]) == pytest.approx(shown[0].members[0].front.hypervolume(), rel=1e-6)
    points = read(files.points_csv(shown, quantities(board(2)), ["segmentation", "depth"]))
    front = shown[0].members[0].front
    assert len(points) == 1 + sum(len(f.preferences) for one in shown for f in one.fronts)
    loss = points[0].index("depth loss")
    assert [float(line[loss]) for line in points[1 : 1 + len(front.preferences)]] == pytest.approx(
        front.objectives[:, 1], rel=1e-6
    )
    weights = [points[0].index(f"λ {task}") for task in ("segmentation", "depth")]
    assert [float(points[1][i]) for i in weights] == pytest.approx(front.preferences[0])
    assert {points[-1][i] for i in weights} == {""}, "a single solution is at no λ"


def test_ties_are_bold_together_and_equal_columns_not_at_all():
    shown, _, _ = table_of()
    column = Column("x", "x", 2, 1, lambda c: None)
    tied = [{"x": Cell(0.501, 0.0)}, {"x": Cell(0.499, 0.1)}, {"x": Cell(0.3)}]
    assert front_table.best(column, tied) == {0, 1}, "alike as they are printed"
    assert front_table.best(column, [{"x": Cell(27450.0, 0.0)}] * 3) == set()
    assert front_table.best(column, [{"x": None}, {"x": Cell(1)}]) == set()
    latex = files.to_latex(shown, [column], tied)
    assert latex.count(r"\mathbf{0.50}") == 2 and r"$\mathbf{0.50}$" in latex and r"$\mathbf{0.50} \pm 0.10$" in latex
    exact = files.to_latex(shown, [Column("x", "x", 0, -1, lambda c: None)], [{"x": Cell(27450.0, 0.0)}] * 3)
    assert "pm" not in exact and "mathbf" not in exact


def test_table_of_forty_tasks_stays_readable():
    _, wanted, _rows = table_of(40)
    assert len(wanted) < 60 and "hypervolume" not in {c.key for c in wanted}


def test_formulas_stay_text():
    (one,) = series([model(title="=1+1")])
    assert files.table_csv([one], [], [{}]).splitlines()[1].startswith("'=1+1")


# -- published --------------------------------------------------------------------------------------------------------
def test_published_numbers_are_marked_and_agree_with_themselves():
    from palora_core.benchmarks.multimnist import MultiMNIST

    benchmark = MultiMNIST()
    place = Leaderboard(benchmark, "multimnist", tuple(benchmark.tasks))
    shown = series(leaderboards.published(PUBLISHED, place))
    assert len(shown) == 13 and all(one.published and len(one.members) == 3 for one in shown)
    rows = {row["title"]: row for row in json.loads(PUBLISHED.read_text())["rows"]}
    for one in shown:
        row = rows[one.name.removesuffix(" (published)")]
        values = [front.hypervolume() for front in one.fronts]
        assert np.mean(values) == pytest.approx(row["hypervolume"]["mean"], abs=2e-4), one.name
    assert leaderboards.published(PUBLISHED, board(2)) == []
    assert leaderboards.published(PUBLISHED.with_name("toy.json"), board(2)) == []


def test_seeds_of_three_tasks_are_bars_since_a_band_has_no_line_to_follow():
    many = three_methods(3)
    figure = fronts.pairs(many, [q for key, q in quantities(board(3)).items() if key.endswith("/loss")])
    assert not any(trace.fill for trace in figure.data)
    first = next(trace for trace in figure.data if trace.legendgroup == "PALORA")
    spread = np.std([front.objectives[:, 0] for front in many[0].fronts], 0, ddof=1)
    assert np.sort(np.asarray(first.error_x.array)) == pytest.approx(np.sort(spread))


def test_losses_beyond_the_reference_run_out_of_the_figure_unless_there_are_no_others():
    x, y = list(quantities(board(2)).values())[:2]
    near, far = model(seed=0), model(method="far", seed=0, shift=100.0)
    reference = near.front.reference[0]
    figure = fronts.plane(series([near, far]), x, y)
    assert figure.layout.xaxis.range[1] < 1.1 * reference
    alone = fronts.plane(series([far]), x, y)
    assert alone.layout.xaxis.range[1] > far.front.objectives[:, 0].max()
