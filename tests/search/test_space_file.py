"""Bad space files: one line that says what is wrong, and in which line of the file."""

import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_spaces import FILE_PER_TEST

from pipeline.search.space import Space
from pipeline.search.yaml_tree import LARGEST_FILE
from steps.errors import InputError


def message_of(path) -> str:
    """What loading a bad space says, seen to be one line."""
    with pytest.raises(InputError) as raised:
        Space.load(path)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert message.startswith(f"--space {path}: ")
    return message


BAD_PARAMETERS = {
    "unknown hyperparameter": ("layers: 1", 1, "layers is no hyperparameter; choose one of"),
    "misspelt hyperparameter": ("batchsize: 1", 1, "did you mean batch_size?"),
    "seed": ("seed: [0, 1, 2]", 1, "seed is no part of a space: seeds make repeats"),
    "several datasets": ("dataset: [digits, wine]", 1, "dataset must be one value"),
    "range of targets": ("target_accuracy: {low: 0.9, high: 0.95}", 1, "must be one value"),
    "value that is not allowed": ("lr: [0.1,\n  fast]", 2, "lr fast: must be a number above 0, or"),
    "value of another kind": ("optimizer: 0.1", 1, "optimizer 0.1: choose one of adam, adamw"),
    "no value": ("hidden:", 1, "hidden '': must be the widths"),
    "empty list": ("lr: []", 1, "lr: the list is empty"),
    "empty list of values": ("lr:\n  values: []", 2, "lr: the list is empty"),
    "list in a list": ("lr: [[0.1]]", 1, "each of lr must be one value"),
    "the same value twice": ("lr: [0.1,\n  1e-1]", 2, "lr has 1e-1 twice"),
    "the same name twice": ("lr: 1\nlr: 2", 2, "lr stands in line 3 already"),
    "unknown key": ("lr: {low: 1, hihg: 2}", 1, "hihg is no part of lr; did you mean high?"),
    "values and a range": ("lr: {values: 1,\n  low: 2}", 2, "lr has values already, so no low"),
    "neither values nor a range": ("lr: {log: true}", 1, "lr needs a value, a list, values, or"),
    "half a range": ("lr: {low: 1}", 1, "lr needs a value, a list, values, or low and high"),
    "low above high": ("lr:\n  low: 0.2\n  high: 0.1", 2, "lr: low 0.2 is above high 0.1"),
    "log of 0": ("dropout: {low: 0, high: 0.5, log: true}", 1, "low 0.0 has no logarithm"),
    "log of less than 0": ("lr: {low: -1, high: 1, log: true}", 1, "lr -1: must be a number above"),
    "log of neither": ("lr: {low: 1, high: 2, log: yes}", 1, "log yes must be true or false"),
    "log and step": ("lr: {low: 1, high: 2, log: true, step: 1}", 1, "do not go together"),
    "step of 0": ("lr: {low: 1, high: 2, step: 0}", 1, "step 0 must be a number above 0"),
    "step below 0": ("lr: {low: 1, high: 2, step: -1}", 1, "step -1 must be a number above 0"),
    "step that is no number": ("lr: {low: 1, high: 2, step: nan}", 1, "step nan must be a number"),
    "step out of the range": (
        "lr: {low: 1, high: 2, step: 1.5}",
        1,
        "must be a number above 0, up to high - low",
    ),
    "half a row": ("batch_size: {low: 1, high: 9, step: 0.5}", 1, "step 0.5 must be a whole"),
    "range of names": ("optimizer: {low: adam, high: sgd}", 1, "optimizer takes no range"),
    "range of widths": ("hidden: {low: 6, high: 60}", 1, "hidden takes no range"),
    "range from a word": ("lr: {low: auto, high: 1}", 1, "lr: low must be a number"),
    "range to nothing": (
        "weight_decay: {low: 0, high: }",
        1,
        "weight_decay: high must be a number",
    ),
    "condition on nothing": ("lr: {values: 1,\n  when: {}}", 2, "when is empty"),
    "condition on the absent": (
        "lr: {values: 1,\n  when: {optimizer: sgd}}",
        2,
        "when asks about optimizer, which is no parameter of this space",
    ),
    "condition that never holds": (
        "optimizer: [adam, sgd]\nlr: {values: 1, when: {optimizer: lion}}",
        2,
        "when never holds: optimizer is never one of lion in",
    ),
    "condition on what cannot be": (
        "optimizer: [adam, sgd]\nlr: {values: 1, when: {optimizer: [adam,\n  sdg]}}",
        3,
        "optimizer sdg: choose one of adam, adamw",
    ),
    "condition of an empty list": (
        "optimizer: [adam, sgd]\nlr: {values: 1, when: {optimizer: []}}",
        2,
        "when: optimizer: the list is empty",
    ),
    "condition on a range": (
        "lr: {low: 1, high: 2}\nmomentum: {values: 0.9, when: {lr: 1}}",
        2,
        "when asks about lr, which is a range; list its values",
    ),
    "condition on itself": ("lr: {values: 1, when: {lr: 1}}", 1, "in a circle: lr -> lr"),
    "conditions in a circle": (
        "optimizer: {values: [adam, sgd], when: {lr: 1}}\nlr: {values: 1, when: {optimizer: sgd}}",
        1,
        "conditions in a circle: ",
    ),
    "alias": ("lr: &rate [0.1]", 1, "anchors and aliases"),
    "tag": ("lr: !!python/object/apply:os.system [ls]", 1, "tags (!) are not allowed"),
    "merge": ("<<: {lr: 1}", 1, "<< is no hyperparameter"),
    "several lines of text": ('dataset: "csv:a\\nb"', 1, "of printable characters, in one line"),
    "escape to the terminal": ('dataset: "\\e[2J"', 1, "of printable characters, in one line"),
    "half a character": ('dataset: "\\ud800"', 1, "of printable characters, in one line"),
    "no character": ('dataset: "\\U00110000"', 1, "is not YAML: "),
    "control character": ("lr: 1\n\0", 2, "the character U+0000 is not allowed"),
    "open bracket": ("lr: [1", 1, "is not YAML: expected ',' or ']'"),
    "tabulator": ("lr:\n\t- 1", 2, "is not YAML: found character '\\t'"),
    "deep nesting": ("lr: " + "[" * 30_000, 1, "nested more than"),
    "mapping as a name": ("{a: b}: 1", 1, "a name must be one value"),
    "very long value": ("optimizer: " + "m" * 9_000, 1, "mmm…: choose one of"),
}


@pytest.mark.parametrize(("yaml", "line", "problem"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS)
def test_a_bad_parameter_is_answered_by_its_line_and_what_is_allowed(tmp_path, yaml, line, problem):
    path = tmp_path / "bad.yaml"
    path.write_text("purpose: Bad.\nparameters:\n" + textwrap.indent(yaml, "  "))
    message = message_of(path)
    assert f": line {line + 2}: " in message
    assert problem in message
    assert len(message) < 1000


LAUGHS = "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ONE = "parameters: {lr: 1}\n"
BAD_FILES = {
    "nothing": ("", 1, "the file is empty"),
    "only a comment": ("# lr\n", 1, "the file is empty"),
    "a list": ("- lr\n", 1, "a space must be a mapping"),
    "a text": ("lr", 1, "a space must be a mapping"),
    "two documents": (f"purpose: A.\n{ONE}---\n{ONE}", 3, "but found another document"),
    "no purpose": (ONE, 1, "purpose is missing"),
    "empty purpose": (f"{ONE}purpose:\n", 2, "purpose is empty"),
    "purpose of many lines": (f"{ONE}purpose: |\n  A.\n  B.\n", 2, "in one line"),
    "purpose that is a list": (f"{ONE}purpose: [A.]\n", 2, "purpose must be one value"),
    "unknown section": (f"purpose: A.\nparams: 1\n{ONE}", 2, "did you mean parameters?"),
    "no parameters": ("purpose: A.\n", 1, "the space is empty"),
    "empty parameters": ("purpose: A.\nparameters: {}\n", 2, "the space is empty"),
    "parameters as a list": ("purpose: A.\nparameters: [lr]\n", 2, "must be a mapping"),
    "billion laughs": (f"purpose: A.\na: &a [lol]\n{LAUGHS}", 2, "anchors and aliases"),
    "tags everywhere": (f"!!map {{}}\n{ONE}", 1, "tags (!) are not allowed"),
    "bundle of a known name": (
        "purpose: A.\nbundles:\n  lr: {a: {lr: 1}}\n",
        3,
        "lr is a hyperparameter; name the bundle otherwise",
    ),
    "bundle of nothing": ("purpose: A.\nbundles:\n  b: {a: {}}\n", 3, "b is an empty bundle"),
    "bundle without values": ("purpose: A.\nbundles:\n  b: {}\n", 3, "b is an empty bundle"),
    "bundle of lists": ("purpose: A.\nbundles:\n  b: {a: {lr: [1]}}\n", 3, "lr must be one value"),
    "bundle of the unknown": ("purpose: A.\nbundles:\n  b: {a: {rl: 1}}\n", 3, "no hyperparameter"),
    "bundle of targets": ("purpose: A.\nbundles:\n  b: {a: {patience: 1}}\n", 3, "in no bundle"),
    "bundle of the same": (
        "purpose: A.\nbundles:\n  b:\n    a: {}\n    c: {lr: 0.001}\n",
        5,
        "b: c decides the same as a value before it",
    ),
    "decided twice": (
        f"purpose: A.\n{ONE}bundles:\n  b: {{a: {{lr: 1}}, c: {{lr: 2}}}}\n",
        4,
        "lr is decided in line 2 already, and by b",
    ),
    "condition on no value of a bundle": (
        "purpose: A.\nparameters:\n  lr: {values: 1, when: {b: d}}\n"
        "bundles:\n  b: {a: {}, c: {jit_compile: on}}\n",
        3,
        "d is no value of b; choose one of a, c",
    ),
    "no text": (b"purpose: A.\nparameters: \xff\n", 2, "is not a text in UTF-8"),
    "far too long": ("#" * (LARGEST_FILE + 1), 1, f"larger than {LARGEST_FILE} bytes"),
}


@pytest.mark.parametrize(("content", "line", "problem"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_answered_by_its_line_and_what_is_wrong(tmp_path, content, line, problem):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = message_of(path)
    assert f": line {line}: " in message
    assert problem in message


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    assert "No such file" in message_of(tmp_path / "gone.yaml")
    assert "directory" in message_of(tmp_path)


FRAGMENTS = (
    *("\n", "\n  ", "\n    ", " ", ": ", ", ", "- ", "[", "]", "{", "}", '"', "'", "#", "&a", "*a"),
    *("!x ", "|", ">", "?", "%YAML 1.1", "---", "\t", "\0", "\\U00110000", "\x85", "\ufeff"),
    *("purpose", "parameters", "bundles", "lr", "optimizer", "adam", "sgd", "momentum"),
    *("values", "low", "high", "log", "true", "step", "when", "0", "1e-3", "-1", "nan"),
)
BEGINNING = "purpose: A space.\nparameters:\n  lr: [0.1, 0.2]\n"
SPACE_LIKE = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


@FILE_PER_TEST
@given(st.one_of(st.text(), SPACE_LIKE, SPACE_LIKE.map(lambda end: BEGINNING + end), st.binary()))
def test_whatever_a_file_holds_is_a_space_or_one_line(tmp_path, content):
    path = tmp_path / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    try:
        assert Space.load(path).parameters
    except InputError:
        assert re.search(r": line [1-9]\d*: .", message_of(path))


SHIPPED = ("green_screen", "greenest", "optimizers")


@FILE_PER_TEST
@given(
    st.sampled_from(SHIPPED), st.integers(0, 2000), st.integers(0, 20), st.sampled_from(FRAGMENTS)
)
def test_a_shipped_space_with_an_error_in_it_is_a_space_or_one_line(
    tmp_path, project, name, place, removed, inserted
):
    text = (project / "spaces" / f"{name}.yaml").read_text()
    place %= len(text)
    path = tmp_path / "edited.yaml"
    path.write_text(text[:place] + inserted + text[place + removed :])
    try:
        assert Space.load(path).parameters
    except InputError:
        assert re.search(r": line [1-9]\d*: .", message_of(path))
