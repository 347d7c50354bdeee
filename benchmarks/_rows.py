"""What the benchmarks share: turns, rows, a table for people and JSON for programs."""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One figure: its median, the 10th and 90th percentile, and the goal where there is one."""

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    goal: str | None = None
    holds: bool | None = None


def row(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """The row of repeated samples; the goal is held against their median."""
    value = statistics.median(samples)
    tenths = statistics.quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else None
    low, high = (tenths[0], tenths[-1]) if tenths else (None, None)
    if at_most is not None:
        return Row(name, value, unit, low, high, f"<= {at_most:g}", value <= at_most)
    if at_least is not None:
        return Row(name, value, unit, low, high, f">= {at_least:g}", value >= at_least)
    return Row(name, value, unit, low, high)


def in_turns(sides: Mapping[str, Callable[[], T]], turns: int) -> dict[str, list[T]]:
    """Run all sides one after the other, again and again (A B A B ...); return their results."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            results[name].append(side())
    return results


def ratios(results: Mapping[str, Sequence[float]], over: str, under: str) -> list[float]:
    """The ratio of two sides, turn by turn."""
    return [a / b for a, b in zip(results[over], results[under], strict=True)]


def arguments(description: str | None) -> argparse.Namespace:
    """Parse `--quick` and `--json FILE`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, too")
    return parser.parse_args()


def report(rows: Sequence[Row], json_file: Path | None) -> None:
    """Print the rows as a table, and write them as JSON where a file is given."""
    width = max(len(each.name) for each in rows)
    print(f"{'':{width}}  {'median':>10}  {'10 % .. 90 %':^23}  {'unit':<8}  goal")
    for each in rows:
        spread = "" if each.low is None else f"{each.low:10.4g} .. {each.high:<10.4g}"
        held = "" if each.goal is None else f"{each.goal}: {'holds' if each.holds else 'MISSED'}"
        print(f"{each.name:{width}}  {each.value:10.4g}  {spread:^23}  {each.unit:<8}  {held}")
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")
