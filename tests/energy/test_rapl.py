"""RAPL by a fake powercap tree: the processors' counters as Linux shows them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from energy import EnergyMeter
from energy.sources.codecarbon import FRESH_S, open_codecarbon

RANGE_UJ = 1_000_000_000


class Package:
    """One package domain of the tree, whose counter wraps at `RANGE_UJ`."""

    def __init__(self, folder: Path, index: int) -> None:
        self._folder = folder / "intel-rapl" / f"intel-rapl:{index}"
        self._folder.mkdir(parents=True)
        (self._folder / "name").write_text(f"package-{index}\n")
        (self._folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        # CodeCarbon takes counters within 1 J of each other for one and the same.
        self._used_uj = 123_000_000 * (index + 1)
        self.use(0.0)

    def use(self, joules: float) -> None:
        self._used_uj += round(joules * 1e6)
        (self._folder / "energy_uj").write_text(f"{self._used_uj % RANGE_UJ}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Package]]:
    from codecarbon.core import cpu, hardware_cache
    from codecarbon.external import hardware

    tree = [Package(tmp_path, 0), Package(tmp_path, 1)]
    rapl_dir = str(tmp_path / "intel-rapl")
    monkeypatch.setattr(cpu, "is_rapl_available", lambda: True)
    monkeypatch.setattr(
        hardware, "IntelRAPL", lambda **options: cpu.IntelRAPL(**{**options, "rapl_dir": rapl_dir})
    )
    hardware_cache.clear_cache()
    yield tree
    hardware_cache.clear_cache()


def test_rapl_is_measured_through_several_wraps_of_the_counter(packages: list[Package]) -> None:
    with EnergyMeter([open_codecarbon()], background=False) as meter:
        time.sleep(1.2 * FRESH_S)
        with meter.window("work") as window:
            for _ in range(12):
                for package, joules in zip(packages, (600, 710), strict=True):
                    package.use(joules)
                time.sleep(1.2 * FRESH_S)
                window.read()
    cpu = window.measurement.cpu
    assert cpu.provenance == "measured (CodeCarbon: RAPL counters)"
    assert cpu.energy_j is not None and cpu.error_j is not None
    # Each counter ran over its 1000 J seven times and more.
    assert abs(cpu.energy_j - 12 * (600 + 710)) <= cpu.error_j
    assert cpu.error_j < 0.2 * cpu.energy_j
