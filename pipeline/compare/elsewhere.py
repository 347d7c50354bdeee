"""The same energy used in another country."""

from collections.abc import Sequence

from energy.carbon import emissions_kg, intensity_of
from pipeline.choice import Ranked
from pipeline.compare.comparison import mean_of


def emissions_elsewhere(
    ranking: Sequence[Ranked], places: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Kilograms of CO2e by country and configuration, had the same energy been used there.

    Without the data centre's PUE, which does not move along.
    """
    return {
        place: {
            ranked.config_id: emissions_kg(
                mean_of(ranked, "energy_to_accuracy_j"), intensity_of(place)
            )
            for ranked in ranking
        }
        for place in places
    }
