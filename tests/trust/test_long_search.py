"""A search of hundreds of trials asks no more of the machine at its end than at its beginning."""

import statistics
import sys

import pytest
from extent import LONG

TRIALS = 500 if LONG else 30
WARM = 10
"""Trials until the process has what it needs."""

MOST_GROWTH_KB = 150 if LONG else 400
"""Per trial, of a process of 500 MB. About 100 were seen, some 30 of them what the search knows of
a trial and what MLflow keeps of its last thousand stores; over twenty trials, whatever the
allocator does, up to 253. When each optimizer had a name of its own, it was 500 and more."""


@pytest.fixture(scope="module", params=["one graph", "many graphs"] if LONG else ["one graph"])
def sights(request, project, tmp_path_factory):
    """What was seen after each trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project / "benchmarks"))
        import overhead

        folder = tmp_path_factory.mktemp("long")
        yield overhead.watched(overhead.SPACES[request.param], TRIALS, folder)
        del sys.modules["overhead"]


def test_memory_does_not_grow_with_the_trials_beyond_what_is_known_of_them(sights):
    import overhead

    assert len(sights) == TRIALS
    growth_kb, _, _ = overhead.growth_kb(sights[WARM:])
    assert growth_kb <= MOST_GROWTH_KB


@pytest.mark.parametrize("what", ["files", "threads"])
def test_no_trial_leaves_anything_open(sights, what):
    held = [getattr(sight, what) for sight in sights[WARM:]]
    half = len(held) // 2
    assert max(held[half:]) <= max(held[:half])


@pytest.mark.skipif(not LONG, reason="needs hundreds of trials")
def test_the_last_trials_take_no_more_work_than_the_first(sights):
    first, last = sights[WARM : WARM + 100], sights[-100:]
    early_s, late_s = (statistics.median(each.cpu_s for each in part) for part in (first, last))
    assert late_s <= 1.5 * early_s
