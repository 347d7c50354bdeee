"""What was found beside the ranking, as tables for the terminal and the report alike."""

from collections.abc import Iterator, Mapping

from pipeline.choice import names_apart
from pipeline.compare.comparison import Comparison
from pipeline.compare.findings import Findings
from pipeline.lifetime import Lifetime
from pipeline.pareto import Front
from pipeline.profiles import Profiles
from pipeline.report import Table
from pipeline.report.quantities import named, unit_of
from pipeline.units import grams, joules

FACTORS = (1.0, 1.5, 2.0, 4.0)
ROWS = 20


def tables(comparison: Comparison, found: Findings) -> Iterator[Table]:
    """Those that were asked for."""
    names = names_apart(comparison.choice.ranking)
    if comparison.countries and comparison.choice.ranking:
        yield _elsewhere(comparison, names)
    if found.front is not None:
        yield _front(found.front, names)
    if found.lifetime is not None:
        yield _lifetime(found.lifetime, names)
    if found.profiles is not None:
        yield _profiles(found.profiles)


def _elsewhere(comparison: Comparison, names: Mapping[str, str]) -> Table:
    # They read CodeCarbon's tables.
    from energy.carbon import intensity_of
    from pipeline.compare.elsewhere import emissions_elsewhere

    ranking = comparison.choice.ranking[:ROWS]
    told = emissions_elsewhere(ranking, comparison.countries)
    columns = [f"{place}, {intensity_of(place):.0f} g/kWh" for place in comparison.countries]
    rows = []
    for ranked in ranking:
        emissions = [told[place][ranked.config_id] for place in comparison.countries]
        rows.append(
            [names[ranked.config_id], *("-" if kg is None else grams(kg) for kg in emissions)]
        )
    return Table(
        title="The same energy elsewhere, CO2e",
        caption="By each country's mean carbon intensity, without a data centre's overhead.",
        columns=["configuration", *columns],
        rows=rows,
    )


def _front(front: Front, names: Mapping[str, str]) -> Table:
    units = [
        unit_of(axis.metric, [values[place] for values in front.values])
        for place, axis in enumerate(front.axes)
    ]
    headings = [
        f"{named(axis.metric, unit)}, {'less' if axis.less_is_better else 'more'} is better"
        for axis, unit in zip(front.axes, units, strict=True)
    ]
    rows = [
        [
            names[ranked.config_id],
            *(unit.written(value) for unit, value in zip(units, values, strict=True)),
        ]
        for ranked, values in zip(front.members, front.values, strict=True)
    ]
    left_out = f", {len(front.left_out)} without such figures" if front.left_out else ""
    return Table(
        title="The Pareto front",
        caption=(
            f"No other configuration is better in all of these at once ({len(front.beaten)} are "
            f"beaten{left_out}). By means of few repeats: neighbours may well be equal."
        ),
        columns=["configuration", *headings],
        rows=rows,
    )


def _lifetime(lifetime: Lifetime, names: Mapping[str, str]) -> Table:
    rows = [
        [
            names[variant.configuration.config_id],
            variant.mode,
            joules(variant.training_j),
            joules(variant.search_j),
            joules(variant.per_inference_j),
            joules(variant.total_j(lifetime.inferences)),
        ]
        for variant in lifetime.variants[:ROWS]
    ]
    return Table(
        title=f"Energy over {lifetime.inferences:,} inferences",
        caption=" ".join(_stages(lifetime, names)) or "No energy per inference was recorded.",
        columns=["configuration", "model", "training", "search", "an inference", "in all"],
        rows=rows,
    )


def _stages(lifetime: Lifetime, names: Mapping[str, str]) -> Iterator[str]:
    for stage in lifetime.stages:
        variant = stage.variant
        model = f"{names[variant.configuration.config_id]} as {variant.mode}"
        unchecked = "" if variant.val_accuracy is not None else " (its accuracy was not recorded)"
        if stage.from_inferences == 0:
            yield f"{model} takes the least from the first inference on{unchecked}."
        else:
            yield f"From {stage.from_inferences:,} inferences on: {model}{unchecked}."
    if lifetime.left_out:
        why = lifetime.left_out[0].why
        yield f"{len(lifetime.left_out)} models are left out, the first because: {why}."


def _profiles(profiles: Profiles) -> Table:
    rows = [
        [
            profile.name or "the one configuration",
            *(f"{profile.within(factor):.0%}" for factor in FACTORS),
            f"{profile.score:.3f}",
        ]
        for profile in profiles.profiles[:ROWS]
    ]
    left_out = (
        f" {len(profiles.left_out)} configurations were not trained on all of them."
        if profiles.left_out
        else ""
    )
    return Table(
        title=f"Over {len(profiles.tasks)} datasets",
        caption=(
            "Share of the datasets on which a configuration takes at most so many times the energy "
            f"of the best there, and the mean of that over factors from 1 to 4.{left_out}"
        ),
        columns=["configuration", *(f"x {factor:g}" for factor in FACTORS), "score"],
        rows=rows,
    )
