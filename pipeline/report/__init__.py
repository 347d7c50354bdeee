"""The report of a comparison: one HTML page, and its figures one by one."""

from typing import TYPE_CHECKING

from pipeline.report.data import (
    Grid,
    GridPoint,
    Receipt,
    ReportData,
    SamplerTrace,
    Table,
)
from pipeline.report.page import page
from pipeline.report.pictures import pictures
from pipeline.report.pictures.picture import escaped
from pipeline.report.theme import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROOM_FOR_TITLE = 100


def figures(data: ReportData) -> "dict[str, go.Figure]":
    """The page's figures by name, in the light, each to be kept on its own."""
    drawn = [picture for chapter in pictures(data).values() for picture in chapter]
    for picture in drawn:
        title = {"text": escaped(picture.title), "yref": "container", "y": 1, "yanchor": "top"}
        title["pad_t"] = 14
        picture.figure.update_layout(template=theme(), title=title, margin_t=ROOM_FOR_TITLE)
    return {picture.name: picture.figure for picture in drawn}


__all__ = [
    "Grid",
    "GridPoint",
    "Receipt",
    "ReportData",
    "SamplerTrace",
    "Table",
    "figures",
    "page",
]
