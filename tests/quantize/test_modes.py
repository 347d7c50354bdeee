import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.quantization_modes import LITERT_MODES, WIDEST, FixedPoint, is_trained, modes, normalized

widths = st.integers(2, WIDEST)
fractions = st.integers(0, WIDEST)
fixed_points = st.builds(FixedPoint, widths, fractions, widths, fractions) | st.builds(
    FixedPoint, widths, fractions, widths, fractions, widths, fractions
)
wishes = st.lists(st.sampled_from(LITERT_MODES) | fixed_points, min_size=1, unique_by=str)


@given(fixed_points)
def test_a_fixed_point_is_read_as_it_is_written(fixed_point):
    assert FixedPoint.parse(str(fixed_point)) == fixed_point


@given(wishes)
def test_every_mode_that_is_asked_for_is_there_once_whatever_else_is(wish):
    read = modes(",".join(map(str, wish)))
    assert len(read) == len(wish)
    assert set(map(str, read)) == set(map(str, wish))


@given(wishes)
def test_the_order_in_which_files_are_asked_for_makes_no_other_configuration(wish):
    files = [mode for mode in wish if isinstance(mode, str)]
    fixed = [str(mode) for mode in wish if not isinstance(mode, str)]
    assert normalized(",".join([*files[::-1], *fixed])) == normalized(",".join([*files, *fixed]))


@given(st.text() | st.text("fixed:/.,0123456789 alintq_8", max_size=20))
def test_any_text_has_one_spelling_or_is_refused_in_one_line(text):
    try:
        once = normalized(text)
    except ValueError as refusal:
        assert len(" ".join(str(refusal).split())) > 0
    else:
        assert normalized(once) == once


def test_all_stands_for_each_file_and_can_have_company():
    assert modes("all") == LITERT_MODES
    assert modes("all,fixed:8.4/4.2") == (*LITERT_MODES, FixedPoint(8, 4, 4, 2))
    assert modes("none") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "choose one of none, all, dynamic"),
        ("int8,none", "choose one of none"),
        ("int9", "fixed:DW.DF/WW.WF[/BW.BF], such as fixed:8.4/4.2, or some with commas between"),
        ("int8,int8", "has int8 twice"),
        ("all,int4", "has int4 twice"),
        ("fixed:8.4/4.2,fixed:08.4/4.2", "has fixed:8.4/4.2 twice"),
        ("fixed:8.4", "fixed:8.4: write fixed:DW.DF/WW.WF[/BW.BF]"),
        ("fixed:8.4/4.2,fixed:8.4/4.2/4.2", "has fixed:8.4/4.2 twice"),
        ("fixed:8.4/4.2/1.0", "fixed:8.4/4.2/1.0: widths must be 2 to 24"),
        ("fixed:8.4/4.2/4.2/4.2", "write fixed:"),
        ("fixed:8.4/-4.2", "write fixed:"),
        ("fixed:1.0/4.2", "fixed:1.0/4.2: widths must be 2 to 24"),
        ("fixed:8.4/25.2", "widths must be 2 to 24"),
        ("fixed:8.25/4.2", "fractions must be 0 to 24"),
    ],
)
def test_what_is_no_mode_is_refused_with_what_is(text, problem):
    with pytest.raises(ValueError, match=r".") as refused:
        modes(text)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("text", "trained"),
    [("none", False), ("int8,int4", False), ("int4,qat_int8", True), ("fixed:8.4/4.2", True)],
)
def test_only_what_can_be_fine_tuned_takes_epochs(text, trained):
    assert is_trained(text) is trained


def test_reading_modes_loads_no_tensorflow(project):
    code = "import sys, steps.quantization_modes; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
