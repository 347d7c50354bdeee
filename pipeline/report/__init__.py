"""The report of a comparison: one HTML page, and its figures one by one."""

from typing import TYPE_CHECKING

from pipeline.report.data import (
    GridPoint,
    PowerTrace,
    PowerWindow,
    Receipt,
    ReportData,
    SamplerTrace,
    Table,
)
from pipeline.report.page import page
from pipeline.report.pictures import pictures
from pipeline.report.theme import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROOM_FOR_TITLE = 100


def figures(data: ReportData) -> "dict[str, go.Figure]":
    """The page's figures by name, in the light, each to be kept on its own."""
    drawn = [picture for chapter in pictures(data).values() for picture in chapter]
    for picture in drawn:
        title = {"text": picture.title, "yref": "container", "y": 1, "yanchor": "top", "pad_t": 14}
        picture.figure.update_layout(template=theme(), title=title, margin_t=ROOM_FOR_TITLE)
    return {picture.name: picture.figure for picture in drawn}


__all__ = [
    "GridPoint",
    "PowerTrace",
    "PowerWindow",
    "Receipt",
    "ReportData",
    "SamplerTrace",
    "Table",
    "figures",
    "page",
]
