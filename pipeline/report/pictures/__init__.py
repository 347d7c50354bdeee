"""The pictures of the report, each with what it says in words and in numbers."""

from pipeline.report.data import ReportData
from pipeline.report.pictures.bars import bars
from pipeline.report.pictures.batch_size import per_epoch
from pipeline.report.pictures.curves import curves
from pipeline.report.pictures.fixed_point import heat_map, samplers, towers
from pipeline.report.pictures.importance import importance
from pipeline.report.pictures.picture import Picture
from pipeline.report.pictures.power import power
from pipeline.report.pictures.tradeoff import tradeoff

CHAPTERS = {
    "importance": importance,
    "bars": bars,
    "curves": curves,
    "tradeoff": tradeoff,
    "batch_size": per_epoch,
    "power": power,
    "heat_map": heat_map,
    "towers": towers,
    "samplers": samplers,
}


def pictures(data: ReportData) -> dict[str, tuple[Picture, ...]]:
    """By chapter, the pictures that the data carry; no entry is missing, some are empty."""
    return {chapter: tuple(draw(data)) for chapter, draw in CHAPTERS.items()}


__all__ = ["Picture", "pictures"]
