"""Energy over the life of a model: finding it, training it, and answering with it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.choice import Ranked
from pipeline.choice.objectives import LEAST, MOST
from pipeline.pareto import unbeaten
from pipeline.tags import PARENT, ROLE
from steps.quantization_modes import FLOAT32

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

PER_INFERENCE = "energy_per_inference_j"
EMULATED = "fixed"
"""Modes that begin so are computed by other arithmetic than they stand for."""


@dataclass(frozen=True)
class Variant:
    """A model that could be put to work.

    Attributes:
        configuration: that it was trained with.
        mode: `FLOAT32`, or how it was quantized.
        training_j: mean over the repeats, to the target.
        search_j: what was spent to find the configuration beside its own training; 0 where nothing
            was searched.
        per_inference_j: one row, in LiteRT.
        val_accuracy: of this variant; None where it was not scored, so that nobody knows whether
            it still reaches the target.
    """

    configuration: Ranked
    mode: str
    training_j: float
    search_j: float
    per_inference_j: float
    val_accuracy: float | None

    @property
    def before_use_j(self) -> float:
        """Spent before the first answer."""
        return self.training_j + self.search_j

    def total_j(self, inferences: int) -> float:
        """Over a life of so many answers."""
        return self.before_use_j + inferences * self.per_inference_j


@dataclass(frozen=True)
class Stage:
    """From so many inferences on, up to the next stage, the variant takes the least energy."""

    from_inferences: int
    variant: Variant


@dataclass(frozen=True)
class Unknown:
    """A variant whose energy over its life cannot be told, and why."""

    configuration: Ranked
    mode: str
    why: str


@dataclass(frozen=True)
class Lifetime:
    """The answer by how much a model will be used.

    Attributes:
        inferences: that were asked for.
        variants: the least energy over that life first.
        stages: what takes the least, by the number of inferences, from 0 on.
        left_out: what the answer does not cover.
    """

    inferences: int
    variants: tuple[Variant, ...]
    stages: tuple[Stage, ...]
    left_out: tuple[Unknown, ...]


def lifetime(
    ranking: Sequence[Ranked], search_j: Mapping[str, float | None], inferences: int
) -> Lifetime:
    """Compare the float model and each quantized one over a life of that many inferences.

    Args:
        ranking: configurations that reached their target.
        search_j: by ``config_id``, what finding it took, as `search_shares` has it; None where
            that was not measured.
        inferences: from 0.
    """
    variants: list[Variant] = []
    left_out: list[Unknown] = []
    for ranked in ranking:
        for each in _variants(ranked, search_j[ranked.config_id]):
            if isinstance(each, Variant):
                variants.append(each)
            else:
                left_out.append(each)
    variants.sort(key=lambda variant: variant.total_j(inferences))
    return Lifetime(inferences, tuple(variants), stages_of(variants), tuple(left_out))


def search_shares(
    ranking: Sequence[Ranked], runs: "Sequence[RecordedRun]"
) -> dict[str, float | None]:
    """By ``config_id``, the joules that were spent to find it beside one training of its own.

    A search is there to find one model, which is charged with all of it. A configuration of several
    searches is charged with each.

    Args:
        ranking: configurations.
        runs: of the experiment, the parent runs of searches included.

    Returns:
        0 where nothing was searched, None where a search was not measured or is gone.
    """
    spent = {run.run_id: run.metrics.get("search_energy_j") for run in runs}
    shares: dict[str, float | None] = {}
    for ranked in ranking:
        searches = {run.tags.get(PARENT, "") for run in ranked.runs if ROLE in run.tags}
        bills = [spent.get(search) for search in sorted(searches)]
        known = [bill for bill in bills if bill is not None]
        own = _training_j(ranked) or 0.0
        whole = max(0.0, sum(known) - own)
        shares[ranked.config_id] = whole if len(known) == len(bills) else None
    return shares


def stages_of(variants: Sequence[Variant]) -> tuple[Stage, ...]:
    """Which variant takes the least, by the number of inferences.

    The totals are lines over that number, and the least of them is their lower envelope, found as a
    convex hull is (Andrew, "Another Efficient Algorithm for Convex Hulls in Two Dimensions",
    Information Processing Letters 9, 1979), in exact fractions. Of equal variants the first in
    order stands; where two cross at a whole number, the earlier one still does.
    """
    if not variants:
        return ()
    envelope: list[Variant] = []
    for variant in _by_slope(variants):
        while len(envelope) > 1 and _crossing(envelope[-2], variant) <= _crossing(*envelope[-2:]):
            envelope.pop()
        envelope.append(variant)
    starts = [0]
    starts += [math.floor(_crossing(*pair)) + 1 for pair in pairwise(envelope)]
    ends = [*starts[1:], math.inf]
    return tuple(
        Stage(start, variant)
        for start, end, variant in zip(starts, ends, envelope, strict=True)
        if start < end
    )


def _by_slope(variants: Sequence[Variant]) -> list[Variant]:
    """Those that some number of inferences could favour, the cheapest before use first."""
    lines = [(variant.before_use_j, variant.per_inference_j) for variant in variants]
    kept = unbeaten(np.array(lines, np.float64).reshape(-1, 2)).tolist()
    first: dict[tuple[float, float], Variant] = {}
    for line, variant, is_kept in zip(lines, variants, kept, strict=True):
        if is_kept:
            first.setdefault(line, variant)
    return [first[line] for line in sorted(first)]


def _crossing(one: Variant, other: Variant) -> Fraction:
    """Where the line that begins lower meets the one that rises less."""
    ahead = Fraction(other.before_use_j) - Fraction(one.before_use_j)
    return ahead / (Fraction(one.per_inference_j) - Fraction(other.per_inference_j))


def _training_j(ranked: Ranked) -> float | None:
    """What reaching the target takes once, repeats that missed it included."""
    interval = ranked.intervals.get("energy_to_accuracy_j")
    return None if interval is None else interval.mean


def _variants(ranked: Ranked, search_j: float | None) -> Iterator[Variant | Unknown]:
    training_j = _training_j(ranked)
    for mode, prefix in _modes(ranked).items():
        per_inference_j = ranked.mean(prefix + PER_INFERENCE)
        val_accuracy = ranked.mean(f"{prefix}val_accuracy")
        why = _why_unknown(ranked, mode, training_j, search_j, per_inference_j, val_accuracy)
        if why or training_j is None or search_j is None or per_inference_j is None:
            yield Unknown(ranked, mode, why)
        else:
            yield Variant(ranked, mode, training_j, search_j, per_inference_j, val_accuracy)


def _why_unknown(
    ranked: Ranked,
    mode: str,
    training_j: float | None,
    search_j: float | None,
    per_inference_j: float | None,
    val_accuracy: float | None,
) -> str:
    """Empty where all is known."""
    if training_j is None:
        return "the energy of its training was not measured"
    if search_j is None:
        return "the energy of its search was not measured"
    if mode.startswith(EMULATED):
        return "its arithmetic is emulated: its energy is that of the emulation"
    if per_inference_j is None or not LEAST < per_inference_j < MOST:
        return "the energy of an inference was not measured"
    target = float(ranked.parameters["target_accuracy"])
    if mode != FLOAT32 and val_accuracy is not None and val_accuracy <= target:
        return f"quantized, its validation accuracy is {val_accuracy:.4f}, not above {target:g}"
    return ""


def _modes(ranked: Ranked) -> dict[str, str]:
    """By mode, what stands before its metrics; the float model always, measured or not."""
    modes = {FLOAT32: ""}
    chosen = ranked.parameters.get("quantization", "none")
    for run in ranked.runs:
        for metric in run.metrics:
            mode, slash, name = metric.rpartition("/")
            if slash and name == PER_INFERENCE:
                modes.setdefault(mode, f"{mode}/")
    if chosen not in ("none", "", *modes) and "," not in chosen and chosen != "all":
        modes[chosen] = "quantized_"
    return modes
