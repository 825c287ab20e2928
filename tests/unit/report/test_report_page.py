"""The page: well-formed, self-contained, safe with hostile names, and complete."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from neurodeploy.cost import Assessment
from neurodeploy.errors import Problem
from neurodeploy.ir.graph import Graph
from neurodeploy.report import charts, console, data, html, svg, words
from neurodeploy.report.inputs import BitTrue, ModelInfo, ReportInputs
from neurodeploy.target import load
from tests import fake_build

VOID = {"meta", "input", "br", "link", "img", "hr"}
HOSTILE = '<script>alert("1")</script>\'"><img src=x onerror=alert(2)>'


class Checker(HTMLParser):
    """Collects elements and attributes, and every way in which tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) < len(attrs):
            self.wrong.append(f"an attribute of {tag} twice")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


def bare() -> dict[str, Any]:
    model = ModelInfo(name="m", system="s")
    return data.build(ReportInputs(model=model, target=load("cpu-sim"), method="native", timesteps=4))


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    swap = lambda name: names.get(name, name)
    nodes = {swap(n.name): replace(n, name=swap(n.name), inputs=tuple(map(swap, n.inputs))) for n in graph}
    return Graph(nodes, {swap(name): value for name, value in graph.values.items()}, graph.header)


def hostile() -> dict[str, Any]:
    inputs = fake_build.inputs("native")
    names = {"stem": HOSTILE, "s0": "]]></svg><b>&amp;"}
    problem = Problem("ND214", HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), "warning")
    model = ModelInfo(name=HOSTILE, system=HOSTILE, title=HOSTILE, source=HOSTILE, dataset=HOSTILE)
    found = data.build(replace(inputs, model=model, integer=renamed(inputs.integer, names), warnings=(problem,),
                               provenance={HOSTILE: HOSTILE}, raster_sample=HOSTILE))  # fmt: skip
    found["layers"][1]["origin"] = HOSTILE
    found["raster"]["populations"][0]["name"] = HOSTILE
    found["links"][0]["from"] = found["cores"][0]["limiting"] = HOSTILE
    found["cores"][0]["layers"] = [HOSTILE]
    return found


MAKERS = {
    "ecmt": lambda: data.build(fake_build.inputs("ecmt")),
    "native": lambda: data.build(fake_build.inputs("native")),
    "bare": bare,
    "synthetic": lambda: data.build(fake_build.synthetic()),
    "hostile": hostile,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def checked(request: pytest.FixtureRequest) -> Checker:
    return Checker(html.page(MAKERS[request.param]()))


def test_tags_nest_and_close(checked: Checker) -> None:
    assert not checked.wrong
    assert not checked.stack


def test_ids_are_unique_and_links_lead_somewhere(checked: Checker) -> None:
    ids = [a["id"] for _, a in checked.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for _, a in checked.elements if a.get("href", "").startswith("#")}
    assert targets <= set(ids)


def test_nothing_is_loaded_from_outside(checked: Checker) -> None:
    for tag, attributes in checked.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]


def test_styles_and_script_name_no_address() -> None:
    page = html.page(MAKERS["native"]())
    for block in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", page, re.DOTALL):
        assert not re.search(r"https?:|//\w+\.|url\(|@import|fetch\(|XMLHttpRequest", block)


def test_hostile_names_stay_text() -> None:
    page = html.page(hostile())
    assert HOSTILE not in page and "<img" not in page and "</svg><b>" not in page
    assert [tag for tag, _ in Checker(page).elements].count("script") == 1
    assert "&lt;script&gt;alert" in page


def test_the_policy_admits_exactly_the_script_of_the_page() -> None:
    page = html.page(MAKERS["native"]())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page or f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_every_drawing_is_there_for_a_full_build() -> None:
    found = html.drawings(MAKERS["ecmt"]())
    assert not [name for name, drawing in found.items() if not drawing]


def test_images_are_drawn_pixel_by_pixel() -> None:
    """Equal neighbours in one rectangle; the colours are those of the data."""
    found = html.drawings(MAKERS["ecmt"]())["images"]
    colours = re.findall(r'fill="(#[0-9a-f]{6})"', found)
    assert colours[:4] == ["#000000", "#242424", "#484848", "#6c6c6c"] and len(colours) == 8 + 32
    assert colours[8] == f"#{0:02x}{32:02x}{64:02x}"
    assert html.drawings(MAKERS["native"]())["images"] is None


def test_a_report_without_accuracy_says_how_near_images_are() -> None:
    given = replace(fake_build.inputs("ecmt"), accuracy=None)
    said = ", ".join(words.accuracy(data.build(given)))
    assert "float 17.8 dB" in said and "spiking 43.9 dB, integer equal" in said and "n = 360" in said


def test_every_headline_has_its_drawer() -> None:
    page = html.page(MAKERS["ecmt"]())
    for key in (
        "energy_uj",
        "latency_ms",
        "throughput_per_s",
        "ann_baseline_uj",
        "energy_paper_uj",
        "purity",
        "silicon",
    ):
        assert f'id="def-{key}"' in page


def test_missing_headlines_show_their_reason() -> None:
    page = html.page(bare())
    assert "prices nothing" in page or "did not run" in page


def test_cores_can_be_reached_with_the_keyboard() -> None:
    found = MAKERS["native"]()
    used = [a for tag, a in Checker(html.page(found)).elements if tag == "g" and a.get("class") == "used"]
    assert len(used) == len(found["cores"])
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in used)


@pytest.mark.parametrize("top", [0.0, 1e-7, 0.3, 1.0, 7.3, 99.0, 1e6])
def test_axis_marks_are_few_and_reach_the_top(top: float) -> None:
    marks = svg.ticks(top)
    assert marks[0] == 0 and marks[-1] >= top and 2 <= len(marks) <= 7


def test_a_layer_bar_stacks_to_the_layer_s_energy() -> None:
    row = max(MAKERS["ecmt"]()["layers"], key=lambda r: r["energy_nominal_uj"])
    bar = charts._layer_bar(row)
    assert sum(size for _, size, _ in bar.segments) == pytest.approx(row["energy_nominal_uj"])


def test_a_network_that_does_not_fit_is_reported_with_its_problems() -> None:
    inputs = fake_build.inputs("native")
    problem = Problem("ND510", "too many cores", "stem", "400", "128", ("use more chips",))
    mapping = replace(inputs.mapping, cores=(), groups=(), problems=(problem,))
    found = data.build(replace(inputs, mapping=mapping, assessment=Assessment()))
    page = html.page(found)
    assert "does not fit" in page and "too many cores" in page and "use more chips" in page
    assert found["mapping"]["fits"] is False
    assert "no   cores 0/128" in console.text(found)


def test_several_chips_are_drawn_one_by_one() -> None:
    inputs = fake_build.inputs("native")
    cores = tuple(replace(core, chip=core.index % 3) for core in inputs.mapping.cores)
    mapping, target = replace(inputs.mapping, cores=cores), inputs.target.with_chips(3)
    found = data.build(replace(inputs, mapping=mapping, target=target))
    assert [name for name, _ in html.drawings(found)["chips"]] == [f"chip {n} (x{n} y0 z0)" for n in range(3)]
    assert found["mapping"]["chips"] == 3
    assert "chips 3" in console.text(found)


def test_a_divergence_is_shown_in_place_of_equality() -> None:
    differs = BitTrue(
        equal=False, samples=4, backends=("cpu", "interp"), divergence="node a, tick 1: 3 instead of 4"
    )
    found = data.build(replace(fake_build.inputs("native"), bit_true=differs))
    assert "NO   node a, tick 1" in console.text(found)
    assert "differs" in html.page(found)


def test_a_logarithmic_axis_ends_at_round_numbers_around_its_values() -> None:
    axis = svg.Log.over([3.0, 70.0, 41.0], 100, 0)
    assert (axis.low, axis.high) == (2.0, 100.0) and axis.marks == pytest.approx([2, 5, 10, 20, 50, 100])
    assert axis.at(2.0) == 100 and axis.at(100.0) == pytest.approx(0)
    assert axis.at(14.142135) == pytest.approx(50)
    assert svg.Log.over([1.0], 0, 1).low == 1.0 and svg.Log.over([1.0], 0, 1).high == 2.0


def test_the_page_places_every_layer_and_step_over_the_floors() -> None:
    found = data.build(fake_build.inputs("ecmt"))
    drawn = charts.floorline(found)
    assert drawn is not None
    assert drawn.count("<circle") == len(found["steps"]) and drawn.count("<rect") == len(found["floorline"])
    assert drawn.count('class="limit"') == 2
    text = html.page(found)
    assert all(row["change"] in text for row in found["floorline"])


def test_bars_are_drawn_for_a_phone_too() -> None:
    row = svg.Bar("a layer", [("part-synapse", 3.0, "hint")], 1.0, 9.0, "3 uJ")
    wide, slim = re.findall(r"<svg.*?</svg>", svg.bars([row], "energy", str))
    for drawn, width in ((wide, svg.WIDTH), (slim, svg.SLIM_WIDTH)):
        assert f'width="{width}"' in drawn and "a layer" in drawn and "3 uJ" in drawn
        ends = [
            float(x) for x in re.findall(r'<line x1="[\d.]+" y1="[\d.]+" x2="([\d.]+)"[^>]*whisker', drawn)
        ]
        assert len(ends) == 3 and max(ends) <= width
    assert "min-width:0px" in slim and 'class="slim"' in slim and 'class="wide"' in wide
    marks = [(float(x), end) for x, end in re.findall(r'<text x="([\d.]+)"[^>]*class="axis"([^>]*)>', slim)]
    assert "text-anchor" not in marks[0][1] and 'text-anchor="end"' in marks[-1][1]
