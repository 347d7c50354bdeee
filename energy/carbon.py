"""Carbon intensity: how many grams of CO2 equivalent a kilowatt-hour costs, where, and who says so.

The figures are those of CodeCarbon, read offline.
"""

import json
import threading
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import Any

from energy.silence import codecarbon_silent

JOULES_PER_KWH = 3.6e6
LOOKUP_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Carbon:
    """The carbon intensity that a meter uses.

    Attributes:
        intensity_g_per_kwh: Grams of CO2 equivalent per kilowatt-hour; None where unknown.
        place: ISO 3166 alpha-3 code, `world`, or `given` for a number from the user.
        source: Where the figure comes from, and why it was taken, in words.
        pue: Power usage effectiveness of the data centre, by which emissions are multiplied.
    """

    intensity_g_per_kwh: float | None
    place: str
    source: str
    pue: float = 1.0

    def __post_init__(self) -> None:
        if self.intensity_g_per_kwh is not None and not self.intensity_g_per_kwh >= 0:
            raise ValueError(
                f"carbon intensity {self.intensity_g_per_kwh} g/kWh: must be 0 or more"
            )
        if not self.pue >= 1.0:
            raise ValueError(f"PUE {self.pue}: a power usage effectiveness is 1 or more")

    def emissions_kg(self, energy_j: float | None) -> float | None:
        """Kilograms of CO2 equivalent of `energy_j` joules; None where either is unknown."""
        return emissions_kg(energy_j, self.intensity_g_per_kwh, self.pue)


UNKNOWN_CARBON = Carbon(None, "unknown", "no carbon intensity was given")


def emissions_kg(
    energy_j: float | None, intensity_g_per_kwh: float | None, pue: float = 1.0
) -> float | None:
    """Emissions of an amount of energy.

    Args:
        energy_j: Energy in joules, or None.
        intensity_g_per_kwh: Carbon intensity in grams per kilowatt-hour, or None.
        pue: Power usage effectiveness of the data centre, 1 or more.

    Returns:
        Kilograms of CO2 equivalent; None where the energy or the intensity is unknown.
    """
    if energy_j is None or intensity_g_per_kwh is None:
        return None
    return energy_j / JOULES_PER_KWH * intensity_g_per_kwh / 1000 * pue


def _data() -> Any:
    """CodeCarbon's own data, which it carries with it."""
    with codecarbon_silent():
        from codecarbon.input import DataSource

    return DataSource()


@cache
def _energy_mixes() -> dict[str, dict[str, Any]]:
    mixes: dict[str, dict[str, Any]] = json.loads(
        _data().global_energy_mix_data_path.read_text(encoding="utf-8")
    )
    return mixes


def countries() -> list[str]:
    """The ISO 3166 alpha-3 codes that CodeCarbon has a carbon intensity for, sorted."""
    return sorted(_energy_mixes())


def validate_country(code: str) -> str:
    """Check a country's code before anything is measured with it.

    CodeCarbon itself would quietly take the world's average for a code that it does not know.

    Args:
        code: ISO 3166 alpha-3 code, such as `FRA`; case does not matter.

    Returns:
        The code in capitals.

    Raises:
        ValueError: There is no such country in CodeCarbon's data.
    """
    wanted = code.strip().upper()
    if wanted not in _energy_mixes():
        raise ValueError(
            f"country {code!r} is unknown: allowed are the {len(countries())} ISO 3166 alpha-3 "
            "codes of CodeCarbon's data, such as FRA, DEU, USA, IND or BRA"
        )
    return wanted


def intensity_of(country: str) -> float:
    """CodeCarbon's yearly mean carbon intensity of a country's electricity.

    Args:
        country: ISO 3166 alpha-3 code.

    Returns:
        Grams of CO2 equivalent per kilowatt-hour.

    Raises:
        ValueError: There is no such country in CodeCarbon's data.
    """
    return float(_energy_mixes()[validate_country(country)]["carbon_intensity"])


def world_intensity() -> float:
    """CodeCarbon's world average, in grams of CO2 equivalent per kilowatt-hour."""
    per_source = json.loads(_data().carbon_intensity_per_source_path.read_text(encoding="utf-8"))
    return float(per_source["world_average"])


def resolve(
    country: str | None = None,
    intensity_g_per_kwh: float | None = None,
    *,
    electricity_maps_token: str | None = None,
    pue: float = 1.0,
) -> Carbon:
    """Decide which carbon intensity to use; what is given beats what is looked up.

    The network is only touched when neither a country nor an intensity is given, or when a live
    figure is asked for by its token.

    Args:
        country: ISO 3166 alpha-3 code, or None.
        intensity_g_per_kwh: A figure of the user's own in grams per kilowatt-hour, or None.
        electricity_maps_token: A token for Electricity Maps, to use the live figure, or None.
        pue: Power usage effectiveness of the data centre, 1 or more.

    Raises:
        ValueError: The country is unknown, the intensity negative, the PUE below 1, or the live
            figure of the country cannot be had.
    """
    place = validate_country(country) if country is not None else None
    if intensity_g_per_kwh is not None:
        return Carbon(intensity_g_per_kwh, place or "given", "given by the user", pue)
    why = "given by the user"
    if place is None:
        try:
            place, why = _look_up_country(), "found by geojs.io from the network address"
        except LookupError as error:
            return Carbon(
                world_intensity(),
                "world",
                f"CodeCarbon's world average: no country was given and the lookup failed ({error})",
                pue,
            )
    if electricity_maps_token is not None:
        return Carbon(
            _live_intensity(place, electricity_maps_token),
            place,
            f"Electricity Maps, live at the meter's start (country {why})",
            pue,
        )
    year = _energy_mixes()[place].get("year")
    return Carbon(
        intensity_of(place), place, f"CodeCarbon's data for {place}, {year} (country {why})", pue
    )


def _look_up_country() -> str:
    """Ask CodeCarbon's geography service where this machine is, for `LOOKUP_TIMEOUT_S` at most.

    In a thread, because no timeout of Python's covers the resolution of names, which takes
    many seconds on a machine without a network.
    """
    url = _data().geo_js_url
    answers: list[str | Exception] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=LOOKUP_TIMEOUT_S) as response:
                answers.append(validate_country(json.load(response)["country_code3"]))
        except Exception as error:
            answers.append(error)

    asking = threading.Thread(target=ask, name="country lookup", daemon=True)
    asking.start()
    asking.join(LOOKUP_TIMEOUT_S)
    answer = answers[0] if answers else TimeoutError(f"no answer within {LOOKUP_TIMEOUT_S} s")
    if isinstance(answer, OSError):
        raise LookupError("no network") from answer
    if isinstance(answer, Exception):
        raise LookupError(str(answer)) from answer
    return answer


def _live_intensity(country: str, token: str) -> float:
    import pycountry
    from codecarbon.core.electricitymaps_api import get_carbon_intensity
    from codecarbon.external.geography import GeoMetadata

    known = pycountry.countries.get(alpha_3=country)
    alpha_2 = known.alpha_2 if known is not None else None
    geo = GeoMetadata(country_iso_code=country, country_2letter_iso_code=alpha_2)
    try:
        return float(get_carbon_intensity(geo, token))
    except Exception as error:
        raise ValueError(
            f"Electricity Maps gave no carbon intensity for {country}: {error}; "
            "check the token, or give the intensity or leave the token out"
        ) from error
