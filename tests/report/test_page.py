import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import invented
import pytest

from pipeline.report import page
from pipeline.report.left_out import left_out
from pipeline.report.ranking import ranking

HOSTILE = """<script>alert(1)</script><!-- " ' & {{ 7 * 7 }} </title>"""
QUOTED = """csv:it's "mine"/<b>rows</b>.csv"""


class Elements(HTMLParser):
    """What a browser makes of a page: elements, texts, and the contents of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def drawings(self) -> list[dict]:
        kinds = [attributes.get("type") for attributes in self.all("script")]
        told = [
            s for s, kind in zip(self.scripts, kinds, strict=True) if kind == "application/json"
        ]
        return [json.loads(each, parse_constant=_no_constant) for each in told]


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON: a browser would refuse it")


def page_of(data) -> Elements:
    return Elements(page(data))


@pytest.fixture(scope="module")
def full() -> Elements:
    return page_of(invented.report_data(invented.runs(100), full=True))


def hostile_runs() -> list:
    made = [replace(run, name=f"{HOSTILE} {run.name}") for run in invented.runs(24)]
    return [replace(run, parameters={**run.parameters, "dataset": QUOTED}) for run in made]


def test_what_others_named_is_text_everywhere():
    data = invented.report_data(hostile_runs(), full=True, experiment=HOSTILE, goal=QUOTED)
    told = page_of(data)
    harmless = page_of(invented.report_data(invented.runs(24), full=True))
    assert [tag for tag, _ in told.tags] == [tag for tag, _ in harmless.tags]
    assert HOSTILE in told.text
    assert QUOTED in told.text
    assert "49" not in re.findall(r"\{\{ (\d+)", told.text)


def test_in_figures_names_are_not_taken_for_tags():
    told = page_of(invented.report_data(hostile_runs()))
    drawn = json.dumps(told.drawings())
    assert "&lt;script&gt;" in drawn
    assert "<script" not in drawn


def test_only_its_own_two_scripts_may_run(full):
    policy = next(m["content"] for m in full.all("meta") if m.get("http-equiv"))
    kinds = [attributes.get("type") for attributes in full.all("script")]
    programs = [
        s for s, kind in zip(full.scripts, kinds, strict=True) if kind != "application/json"
    ]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in programs]
    assert len(programs) == 2
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_nothing_is_fetched_and_all_links_stay_on_the_page(full):
    ids = {attributes.get("id") for _, attributes in full.tags}
    links = [attributes["href"] for attributes in full.all("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= ids
    assert not full.all("link")
    assert not any("src" in attributes for _, attributes in full.tags)
    assert not any(name.startswith("on") for _, attributes in full.tags for name in attributes)


def test_ids_are_unique(full):
    ids = [attributes["id"] for _, attributes in full.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_figure_has_a_text_in_its_place(full):
    canvases = [a for a in full.all("div") if a.get("class") == "canvas"]
    assert len(canvases) == len(full.all("figure")) > 10
    assert all(canvas["role"] == "img" and len(canvas["aria-label"]) > 20 for canvas in canvases)
    assert len(full.all("figcaption")) == len(canvases)


def test_each_part_of_the_issue_is_there_where_the_data_have_it(full):
    sections = {attributes["id"] for attributes in full.all("section")}
    assert sections == {
        *("answer", "bill", "ranking", "effects", "batch-size", "tradeoff", "curves", "power"),
        *("fixed-point", "table-1", "left-out", "reading"),
    }
    figures = {attributes["id"] for attributes in full.all("figure")}
    assert {"loss-epochs", "loss-steps", "loss-seconds", "loss-joules"} <= figures
    assert {"bars-lr", "bars-batch-size", "bars-optimizer", "importance"} <= figures
    assert {"fixed-point-heat-map", "fixed-point-towers", "samplers"} <= figures


def test_what_the_data_do_not_have_is_not_there():
    data = invented.report_data(invented.runs(3), histories={})
    sections = {attributes["id"] for attributes in page_of(data).all("section")}
    assert sections == {"answer", "ranking", "reading"}


def test_a_figure_of_the_model_is_not_said_to_be_a_cost_to_the_target():
    text = page_of(invented.report_data(invented.runs(6), is_cost=False)).text
    assert "The least energy with a validation accuracy above 0.95" in text
    assert "Energy to the target" not in text


def test_a_configuration_far_behind_does_not_press_the_whiskers_of_the_leaders_together():
    made = [
        invented.run_of(0.01 * (place + 1), seed=seed, energy_j=100.0 + place + seed)
        for place in range(15)
        for seed in range(3)
    ]
    far = [invented.run_of(0.9, seed=seed, energy_j=50_000.0 + seed) for seed in range(3)]
    alone, together = (ranking(invented.report_data(runs)) for runs in (made, made + far))
    assert together.rows[-1].whisker is None
    assert together.rows[14].whisker.at - together.rows[0].whisker.at > 30
    assert alone.rows[14].whisker.at - alone.rows[0].whisker.at > 30


def test_measured_estimated_and_absent_look_different():
    def marks(told) -> list[str]:
        chips = page_of(invented.report_data(invented.runs(6, told))).all("span")
        kinds = [span["class"] for span in chips if "chip" in (span.get("class") or "")]
        return kinds[:4]

    assert marks(invented.ESTIMATED) == [
        "chip worth-estimated",
        *("chip worth-absent", "chip worth-estimated", "chip worth-estimated"),
    ]
    assert marks(invented.MEASURED) == [
        "chip worth-measured",
        *("chip worth-measured", "chip worth-measured", "chip worth-absent"),
    ]


def test_a_sum_of_measured_and_estimated_says_so():
    both = {**invented.MEASURED, "energy.ram": "estimated (by its size)"}
    assert "partly estimated" in page_of(invented.report_data(invented.runs(6, both))).text


def test_energy_that_was_not_measured_is_never_a_zero():
    made = [invented.run_of(seed=seed, energy_j=None) for seed in range(3)]
    made = [
        replace(r, metrics={k: v for k, v in r.metrics.items() if "emissions" not in k})
        for r in made
    ]
    from pipeline.choice import choose

    data = invented.report_data(
        [], choice=choose(made, "time"), runs=made, metric="time_to_accuracy_s"
    )
    beside = page_of(data).text.split("Energy to the target")[0]
    assert "Energy not measured" in beside
    assert "CO2e not measured" in beside


def test_where_nothing_reached_the_target_the_closest_is_named():
    made = [invented.run_of(seed=seed, outcome="BUDGET_EXHAUSTED") for seed in range(2)]
    text = page_of(invented.report_data(made)).text
    assert "Nothing reached the target" in text
    assert f"The closest was {made[0].name}" in text


def test_a_tie_is_not_called_a_winner():
    made = [
        invented.run_of(lr, seed=seed, energy_j=100.0 + 7 * seed + 3 * (lr == 0.02))
        for lr in (0.01, 0.02)
        for seed in range(3)
    ]
    told = page_of(invented.report_data(made))
    assert "First, tied with 1 other" in told.text
    assert "Greenest" not in told.text.split("Made by")[0]


def test_every_run_that_was_left_out_is_counted_under_a_reason():
    data = invented.report_data(invented.runs(300))
    reasons = left_out(data)
    assert sum(reason.count for reason in reasons) == len(data.choice.excluded) > 20
    assert len(reasons) < 6


def test_ten_thousand_runs_are_a_page_of_six_megabytes():
    data = invented.report_data(invented.runs(10_000), full=True)
    html = page(data)
    assert len(html.encode()) <= 6_000_000
    told = Elements(html)
    assert f"of {len(data.choice.ranking):,} configurations that reached the target" in told.text
    rows = [attributes for attributes in told.all("td") if "data-order" in attributes]
    assert len(rows) == 5 * 500
