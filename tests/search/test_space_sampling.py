"""A space in the hands of Optuna's samplers."""

import optuna
from hypothesis import given, settings
from random_spaces import FILE_PER_TEST, space_files

from pipeline.search.space import Space
from steps.errors import InputError


def ask(space: Space, sampler: optuna.samplers.BaseSampler, trials: int) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=sampler)
    asked = []
    for number in range(trials):
        asked.append(trial := study.ask())
        assert space.suggest(trial) == trial.params
        study.tell(trial, float(number))
    return asked


@settings(FILE_PER_TEST, max_examples=25)
@given(space_files())
def test_a_sampler_is_asked_for_what_counts_and_stays_in_the_grid(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(text)
    space = Space.load(path)
    points = list(space.points({}))
    ids = {space.configuration(point, {}).config_id for point in points}
    distributions = space.distributions()
    for trial in ask(space, optuna.samplers.RandomSampler(seed=0), trials=20):
        assert trial.distributions == {name: distributions[name] for name in trial.params}
        try:
            configuration = space.configuration(trial.params, {})
        except InputError:
            continue
        assert configuration.config_id in ids
        assert space.contains(configuration)


def test_a_sampler_draws_from_ranges_as_the_file_has_them(space):
    given_ = space("""
        purpose: Ranges.
        parameters:
          lr: {low: 1e-5, high: 1, log: true}
          batch_size: {low: 1, high: 1024, log: true}
          dropout: {low: 0, high: 0.5}
          weight_decay: {low: 0, high: 0.35, step: 0.1}
        """)
    drawn = [
        given_.configuration(trial.params, {})
        for trial in ask(given_, optuna.samplers.RandomSampler(seed=0), trials=400)
    ]
    assert 0.3 < sum(each.lr < 10**-2.5 for each in drawn) / 400 < 0.7
    assert 0.3 < sum(each.batch_size < 32 for each in drawn) / 400 < 0.7
    assert 0.3 < sum(each.dropout < 0.25 for each in drawn) / 400 < 0.7
    assert {each.weight_decay for each in drawn} == {0.0, 0.1, 0.2, 0.3}
    assert all(given_.contains(each) for each in drawn)
