import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy.carbon import (
    Carbon,
    countries,
    emissions_kg,
    intensity_of,
    resolve,
    validate_country,
    world_intensity,
)


@pytest.mark.parametrize("code", ["XXX", "FR", "", "France", "F\nRA"])
def test_an_unknown_country_is_refused_in_one_line_with_what_is_allowed(code: str) -> None:
    with pytest.raises(ValueError, match="ISO 3166 alpha-3") as refused:
        validate_country(code)
    assert "\n" not in str(refused.value)
    assert repr(code) in str(refused.value)


@pytest.mark.parametrize("code", ["FRA", "fra", " Fra "])
def test_a_known_country_is_taken_in_any_case(code: str) -> None:
    assert validate_country(code) == "FRA"


def test_every_country_has_a_plausible_intensity() -> None:
    assert len(countries()) > 150
    for country in countries():
        assert 0 <= intensity_of(country) < 2000


def test_intensities_are_those_that_codecarbon_itself_computes_with() -> None:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    engine = Emissions(DataSource())
    for country in ("FRA", "POL", "USA", "IND", "ISL"):
        kg = engine.get_country_emissions(Energy.from_energy(1.0), GeoMetadata(country))
        assert intensity_of(country) == pytest.approx(kg * 1000)


@settings(deadline=None)
@given(st.floats(0, 1e12), st.floats(0, 2000), st.floats(1, 3))
def test_emissions_are_energy_times_intensity_times_pue(
    energy_j: float, intensity: float, pue: float
) -> None:
    kwh = energy_j / 3.6e6
    expected = kwh * intensity / 1000 * pue
    assert emissions_kg(energy_j, intensity, pue) == pytest.approx(expected)
    assert Carbon(intensity, "XYZ", "a test", pue).emissions_kg(energy_j) == pytest.approx(expected)


def test_unknown_energy_or_intensity_gives_unknown_emissions() -> None:
    assert emissions_kg(None, 100.0) is None
    assert emissions_kg(100.0, None) is None


def test_a_given_country_is_used_and_named() -> None:
    used = resolve("deu")
    assert (used.place, used.intensity_g_per_kwh) == ("DEU", intensity_of("DEU"))
    assert used.source.startswith("CodeCarbon's data for DEU, 20")


def test_a_given_intensity_beats_the_countrys() -> None:
    used = resolve("DEU", 12.5, pue=1.2)
    assert used == Carbon(12.5, "DEU", "given by the user", 1.2)
    assert resolve(None, 12.5).place == "given"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"intensity_g_per_kwh": -1.0}, "carbon intensity -1.0 g/kWh: must be 0 or more"),
        ({"intensity_g_per_kwh": float("nan")}, "carbon intensity nan g/kWh"),
        ({"country": "FRA", "pue": 0.9}, "PUE 0.9"),
    ],
)
def test_impossible_figures_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resolve(**options)


def test_a_failed_lookup_is_told_and_the_worlds_average_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    used = resolve()
    assert (used.place, used.intensity_g_per_kwh) == ("world", world_intensity())
    assert "the lookup failed (no network)" in used.source


def test_a_lookup_that_succeeds_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = tmp_path / "geo.json"
    answer.write_text(json.dumps({"country_code3": "ESP"}))
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: answer.open())
    used = resolve()
    assert (used.place, used.intensity_g_per_kwh) == ("ESP", intensity_of("ESP"))
    assert "network address" in used.source


def test_a_live_intensity_that_cannot_be_had_is_an_error_and_no_silent_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from codecarbon.core import electricitymaps_api

    asked = {}

    def answer(geo: Any, token: str) -> float:
        asked[geo.country_2letter_iso_code] = token
        if token != "good":
            raise electricitymaps_api.ElectricityMapsAPIError("Invalid auth-token")
        return 87.0

    monkeypatch.setattr(electricitymaps_api, "get_carbon_intensity", answer)
    live = resolve("FRA", electricity_maps_token="good")
    assert (live.place, live.intensity_g_per_kwh) == ("FRA", 87.0)
    assert "Electricity Maps" in live.source
    with pytest.raises(ValueError, match="for FRA: Invalid auth-token"):
        resolve("FRA", electricity_maps_token="bad")
    assert asked == {"FR": "bad"}
