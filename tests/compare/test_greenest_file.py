"""The winner as a file: it comes back as it was, and what is wrong with it is told by line."""

import math
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import greenest_file
from pipeline.choice import objective_named
from pipeline.greenest_file import Winner, read, typical, written
from pipeline.tracking import RecordedRun
from pipeline.tracking.project_run import PROJECT_TAGS
from steps.configuration import FIELDS, Configuration, parse
from steps.errors import InputError

TAGS = {
    "outcome": "REACHED",
    "config_id": "c0ffee1234",
    "hardware": "a machine",
    "software": "Python 3.11.7, TensorFlow 2.21.0",
    "mlflow.source.git.commit": "3fe2b1",
    "energy.gpu": "measured (NVML counter)",
    "energy.cpu": "estimated (load x 8 W TDP)",
}


def run_of(configuration, energy_j=1.0, name="a run", **tags):
    return RecordedRun(
        run_id=f"run-of-{energy_j:g}",
        name=name,
        status="FINISHED",
        started_at_ms=1_700_000_000_000,
        parameters=configuration.parameters(),
        metrics={"epochs": 7.0, "energy_to_accuracy_j": energy_j},
        tags={**TAGS, **tags},
    )


def winner_of(configuration, **changed):
    winner = Winner(
        experiment="green",
        run=run_of(configuration),
        goal="the least energy to a validation accuracy above 0.95 on digits",
        cost="12.3 J (11 J to 14 J)",
        verdict="It is beyond noise.",
    )
    return replace(winner, **changed)


def text_of(winner):
    return written(winner).decode()


@pytest.mark.parametrize(
    "recorded", [{}, *({"epochs": each} for each in (0.0, 2.5, -1.0, math.nan, math.inf))]
)
def test_of_a_run_that_tells_no_number_of_epochs_the_file_has_none_and_says_so(recorded, tmp_path):
    run = replace(run_of(Configuration()), metrics={"energy_to_accuracy_j": 1.0, **recorded})
    text = text_of(winner_of(Configuration(), run=run))
    assert "was not recorded" in text
    assert "--final   on all" not in text
    (tmp_path / "greenest.yaml").write_text(text)
    assert read(tmp_path / "greenest.yaml").final_epochs is None


def texts():
    """What names of files hold: line breaks and control characters are left out.

    Spaces of any width and the joiners of Persian and of emoji are in.
    """
    return st.text(
        st.characters(exclude_categories=("C", "Zl", "Zp"), include_characters="\u200c\u200d")
    )


def floats(least, most, **more):
    return st.floats(least, most, allow_nan=False, **more)


CONFIGURATIONS = st.builds(
    Configuration,
    dataset=texts().map("csv:{}".format),
    label=texts(),
    drop_columns=texts().map(FIELDS["drop_columns"].metadata["parse"]),
    model=st.sampled_from(["mlp", "cnn", "file:C:/my models/a b.py:build"]),
    optimizer=st.just("sgd"),
    lr=st.just("auto") | floats(0, 1e300, exclude_min=True),
    momentum=floats(0, 1, exclude_max=True),
    weight_decay=st.none() | floats(0, 1e300),
    batch_size=st.just("full") | st.integers(1, 2**32 - 1),
    jit_compile=st.sampled_from(["off", "on", "auto"]),
    time_ordered=st.sampled_from(["no", "yes"]),
    early_stopping=st.sampled_from(["", "0.001,10"]),
    target_accuracy=floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**32 - 1),
)


@given(CONFIGURATIONS)
def test_every_configuration_comes_back_from_its_file_as_it_was(tmp_path_factory, configuration):
    path = tmp_path_factory.getbasetemp() / "greenest.yaml"
    path.write_bytes(written(winner_of(configuration)))
    file = read(path)
    assert parse(dict(file.texts)) == configuration
    assert parse(dict(file.texts)).parameters() == configuration.parameters()
    assert file.final_epochs == 7


@given(CONFIGURATIONS)
def test_any_reader_of_yaml_sees_each_value_as_its_own_type(configuration):
    values = yaml.safe_load(written(winner_of(configuration)))
    assert values.pop("final_epochs") == 7
    assert list(values) == list(FIELDS)
    for name, value in values.items():
        own = getattr(configuration, name)
        assert value == own and type(value) is type(own), name


@given(st.text(), st.text(), st.text())
def test_no_name_of_the_users_gets_out_of_the_comment(experiment, name, place):
    winner = winner_of(
        Configuration(),
        experiment=experiment,
        run=run_of(Configuration(), name=name, hardware=place),
        verdict="a\nseed: 7\u2028seed: 8",
    )
    assert yaml.safe_load(written(winner))["seed"] == 0


def test_the_file_says_where_it_comes_from_what_that_cost_and_what_the_joules_are_worth():
    text = text_of(winner_of(Configuration()))
    for told in (
        "Of experiment green, the configuration with the least energy to a validation accuracy",
        "It is beyond noise.",
        "12.3 J (11 J to 14 J)",
        "measured (NVML counter)",
        "estimated (load x 8 W TDP)",
        "RAM energy:  absent",
        "run-of-1 (a run), trained 2023-11-14",
        "c0ffee1234",
        "Python 3.11.7, TensorFlow 2.21.0",
        "commit 3fe2b1",
        "python -m pipeline run --config greenest.yaml",
    ):
        assert told in text
    assert all(line.startswith("#") for line in text.split("\n\n")[0].splitlines())


def test_what_the_run_did_not_record_is_not_made_up():
    run = replace(run_of(Configuration()), tags={})
    text = text_of(winner_of(Configuration(), run=run))
    assert "software:    not recorded" in text
    assert "commit not recorded" in text
    assert "GPU energy:  absent" in text


def test_a_choice_by_the_clock_is_not_promised_to_give_the_same_weights():
    assert "switches by the clock" in text_of(winner_of(Configuration(jit_compile="auto")))
    assert "switches by the clock" not in text_of(winner_of(Configuration(jit_compile="on")))


def test_a_run_of_another_version_whose_values_are_not_allowed_now_is_told():
    run = run_of(Configuration())
    changed = replace(run, parameters={**run.parameters, "optimizer": "ftrl"})
    with pytest.raises(InputError, match="--optimizer ftrl: choose one of"):
        written(winner_of(Configuration(), run=changed))


def test_a_hyperparameter_that_an_older_version_did_not_have_is_at_its_default():
    run = run_of(Configuration(lr=0.5))
    older = {name: text for name, text in run.parameters.items() if name != "dropout"}
    winner = winner_of(Configuration(), run=replace(run, parameters=older))
    values = yaml.safe_load(written(winner))
    assert (values["lr"], values["dropout"]) == (0.5, 0.0)


@pytest.mark.parametrize(("count", "chosen"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_the_run_of_the_median_cost_stands_for_the_configuration(count, chosen):
    runs = [run_of(Configuration(seed=seed), 10.0 * (1 + seed)) for seed in range(count)]
    # A repeat that missed has neither an energy to accuracy nor a model worth serving.
    missed = run_of(Configuration(seed=9), 1.0, outcome="BUDGET_EXHAUSTED")
    energy = objective_named("energy").of
    for shuffled in ([missed, *runs], [*runs[::-1], missed]):
        assert typical(shuffled, energy) is runs[chosen]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr: 0.1\nlearning_rate: 0.2\n", "line 2: learning_rate is no hyperparameter"),
        ("lr: 0.1\nbatchsize: 2\n", "line 2: batchsize is no hyperparameter; did you mean batch_"),
        ("# a\n\nlr: fast\n", "line 3: lr fast: must be a number above 0, or auto"),
        ("seed: 0\noptimizer: adam\nmomentum: 0.9\n", "line 3: --momentum 0.9: "),
        ("lr: 0.1\nlr: 0.2\n", "line 2: lr stands in line 1 already"),
        ("lr: [0.1, 0.2]\n", "line 1: lr must be one value, not a list"),
        ("lr: 0.1\nfinal_epochs: 0\n", "line 2: final_epochs 0: must be a whole number from 1"),
        ("- lr\n", "line 1: a configuration must be a mapping"),
        ("lr: 0.1\n\tseed: 1\n", "line 2: is not YAML"),
        ("lr: !!python/object:os.system 0.1\n", "line 1: YAML's tags"),
        ("", "line 1: the file is empty"),
        ('dataset: "csv:a\\tb"\n', "line 1: a text must be of printable characters"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line_and_exit_code_2(
    greenest, tmp_path, text, told
):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    code, _, err = greenest("run", "--config", str(path))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"Error: --config {path}: {told}")


def test_a_file_that_is_not_there_is_told(greenest, tmp_path):
    code, _, err = greenest("run", "--config", str(tmp_path / "none.yaml"))
    assert (code, "cannot be read (No such file or directory)" in err) == (2, True)


SHORT = "dataset: iris\nlr: 0.05\nmax_epochs: 1\nhidden: 4\nbatch_size: 16\n"


def parameters_of_run(store, greenest, tmp_path, *words):
    path = tmp_path / "mine.yaml"
    path.write_text(SHORT)
    code, _, err = greenest("run", "--config", str(path), "--country", "FRA", *words)
    assert code == 0, err
    experiment = store.get_experiment_by_name("green")
    return store.search_runs([experiment.experiment_id])[0].data.params


def test_the_file_says_what_the_command_line_does_not_and_typed_options_win(
    store, greenest, tmp_path
):
    given = parameters_of_run(store, greenest, tmp_path, "--lr", "0.001", "--seed", "3")
    # The typed rate is the default of the option: it is typed all the same.
    assert (given["lr"], given["seed"]) == ("0.001", "3")
    assert (given["dataset"], given["hidden"]) == ("iris", "4")
    assert given["optimizer"] == "adam"


def test_under_mlflow_run_which_passes_all_options_the_defaults_count_as_not_given(
    store, greenest, tmp_path, monkeypatch
):
    monkeypatch.setitem(PROJECT_TAGS, "mlflow.project.entryPoint", "main")
    given = parameters_of_run(store, greenest, tmp_path, "--lr", "0.001", "--seed", "3")
    assert (given["lr"], given["seed"]) == ("0.05", "3")


def test_a_file_of_the_users_own_is_not_overwritten(tmp_path):
    path = tmp_path / "greenest.yaml"
    path.write_text("lr: 0.1\n")
    content = written(winner_of(Configuration()))
    with pytest.raises(ValueError, match=re.escape(f"{path} is there already")):
        greenest_file.save(content, path)
    assert path.read_text() == "lr: 0.1\n"
    path.unlink()
    for _ in range(2):
        greenest_file.save(content, path)
        assert path.read_bytes() == content


def test_numbers_come_back_to_the_last_bit(tmp_path):
    lr = math.nextafter(0.1, 1)
    path = tmp_path / "greenest.yaml"
    path.write_bytes(written(winner_of(Configuration(lr=lr, weight_decay=5e-324))))
    back = parse(dict(read(path).texts))
    assert (back.lr, back.weight_decay) == (lr, 5e-324)
