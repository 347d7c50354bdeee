import pytest

from pipeline.search.placement import Placement
from steps.errors import InputError

BAD = [
    (("0", "local", "", "no"), "--workers 0: must be a whole number from 1"),
    (("two", "local", "", "no"), "--workers two: must be a whole number from 1"),
    (("2", "slurm", "", "no"), "--engine slurm: choose one of local, ray"),
    (("2", "local", "auto", "no"), "--address auto: works only with --engine ray"),
    (("2", "local", "", "maybe"), "--shared-energy maybe: choose yes or no"),
]


@pytest.mark.parametrize(("typed", "told"), BAD)
def test_a_placement_that_cannot_be_is_refused_in_one_line(typed, told):
    with pytest.raises(InputError) as caught:
        Placement.parse(*typed)
    assert str(caught.value) == told


def test_one_worker_here_is_this_process_and_all_else_is_processes_of_their_own():
    assert not Placement.parse("", "local", "", "no").is_parallel
    assert not Placement.parse("1", "local", "", "no").is_parallel
    assert Placement.parse("2", "local", "", "no").is_parallel
    assert Placement.parse("", "ray", "", "no").is_parallel


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--pruning", "halving"), "--pruning halving: compares trainings one after the other"),
        (("--power-limit-w", "150"), "--power-limit-w 150: one process sets it and puts it back"),
    ],
)
def test_what_needs_one_process_is_refused_with_several_before_anything_is_recorded(
    store, greenest, project, words, told
):
    space = project / "spaces" / "learning_rate.yaml"
    code, out, err = greenest("search", "--space", str(space), "--workers", "2", *words)
    assert (code, out) == (2, "")
    assert told in err and err.count("\n") == 1
