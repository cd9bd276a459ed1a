"""The one-file report: everything of a view in it, nothing outside of it, for every kind of model."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from palora_core.errors import UserError

SOURCES = re.compile(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)[^\s\"')>]+", re.IGNORECASE)


def make(services, model, preference, image="sample-1", label="sample 2"):
    from app.exports.report.compose import report

    return report(services, services.registry.get(model), image, label, preference).decode()


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def test_a_view_of_three_pictured_tasks(roots):
    preference = [0.2, 0.5, 0.3]
    page = make(roots, "three", preference)
    assert not SOURCES.findall(page) and "<script" not in page
    assert len(pictures(page)) == 1 + 3 * 3, "the input; prediction, ground truth and error of every task"
    assert all(f"<b>{v:.4f}</b>" in page for v in preference)
    assert page.count('class="here"') == 3, "the view is marked on the front over every pair of tasks"
    assert "sample 2" in page and "Toy rooms, three tasks" in page and "test split" in page
    loaded = roots.registry.get("three")
    assert loaded.card["weights_sha256"] in page
    row = re.search(r"<td>Segmentation</td>(.*?)</tr>", page)[1]
    assert len(re.findall(r"<td>[\d.]+ %</td>", row)) == 3, "on the split, on this input, best of the front"


def test_its_pictures_are_the_networks_own(roots):

    loaded = roots.registry.get("two")
    x, _ = loaded.samples.batch(torch.tensor([1]))
    with torch.no_grad():
        prediction = loaded.model(x, torch.tensor([0.4, 0.6]))["segmentation"][0]
    expected = loaded.views["segmentation"].draw(prediction)
    assert (pictures(make(roots, "two", [0.4, 0.6]))[1] == expected.to_rgb()).mean() > 0.999


@pytest.mark.parametrize(("model", "preference"), [("digits", [0.9, 0.1]), ("one", [1.0]), ("forty", [1 / 40] * 40)])
def test_other_kinds_of_models(roots, model, preference):
    page = make(roots, model, preference)
    assert not SOURCES.findall(page)
    assert ("ground truth" in page) and page.count('class="here"') == {"digits": 1, "one": 0, "forty": 3}[model]
    if model != "one":
        assert len(re.findall(r"<td>(?:class|value)</td>", page)) == len(preference)


@pytest.mark.parametrize("preference", [[1.5, -0.5], [1.0, 1.0]])
def test_off_the_simplex_nothing_is_claimed_about_the_front(roots, preference):
    page = make(roots, "two", preference)
    assert 'class="here"' not in page and "<td>–</td>" in page


def test_an_upload_has_no_ground_truth(roots):
    token = roots.uploads.put(np.full((50, 60, 3), 90, np.uint8), "<b>mine.png")
    page = make(roots, "two", [0.5, 0.5], token, "<b>mine.png")
    assert len(pictures(page)) == 1 + 2 and "ground truth</figcaption>" not in page
    assert "trained on other data, Toy" in page, "the report says it is a foreign picture"
    assert "<b>mine" not in page and "&lt;b&gt;mine.png" in page
    with pytest.raises(UserError):
        make(roots, "two", [0.5, 0.5], "sample-99")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_disk(roots, chromium, tmp_path, scheme):
    (tmp_path / "report.html").write_text(make(roots, "three", [0.2, 0.5, 0.3]), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 480, "height": 900}, color_scheme=scheme, offline=True)
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("() => [...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out on a phone"
    assert not problems
    context.close()
