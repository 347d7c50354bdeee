"""One HTML page that needs nothing but itself."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pipeline.report.answer import answer, worth_of_parts
from pipeline.report.bill import bill
from pipeline.report.data import ReportData
from pipeline.report.effects_in_words import coverage
from pipeline.report.left_out import left_out
from pipeline.report.pictures import Picture, pictures
from pipeline.report.quantities import Worth
from pipeline.report.ranking import ranking
from pipeline.report.theme import IN_THE_DARK, theme

TEMPLATES = Path(__file__).with_name("templates")


def page(data: ReportData) -> str:
    """The report as HTML of about 5 MB, most of it plotly.js.

    Whatever others named is escaped, and a policy in the page lets no other script run than its own
    two, and nothing be fetched from anywhere.
    """
    plotly_js, own_js = _plotly_js(), _read("script.js")
    return (
        _templates()
        .get_template("page.html")
        .render(
            data=data,
            answer=answer(data),
            parts_of_energy=worth_of_parts(data.provenance),
            bill=None if data.receipt is None else bill(data.receipt),
            ranking=ranking(data),
            pictures=pictures(data),
            left_out=left_out(data),
            coverage="" if data.effects is None else coverage(data.effects),
            Worth=Worth,
            theme={"template": theme(), "dark": IN_THE_DARK},
            style=Markup(_read("style.css")),
            plotly_js=Markup(plotly_js),
            own_js=Markup(own_js),
            script_hashes=[_hash(plotly_js), _hash(own_js)],
        )
    )


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = _drawing
    return environment


def _drawing(picture: Picture) -> Markup:
    """What the page's script draws a picture from."""
    drawing: dict[str, Any] = picture.figure.to_plotly_json()
    drawing["layout"].pop("template", None)
    return htmlsafe_json_dumps({**drawing, "narrow": picture.narrow}, separators=(",", ":"))


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """By which a content security policy knows a script (W3C, CSP level 3, section 2.3.1)."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
