"""Searches of a small space as a user types them: their words, their record, their accidents."""

from pipeline.search import loop
from steps import train

SPACE = """\
purpose: "Of the test."
parameters:
  lr: [0.08, 0.05, 1e-6]
  batch_size: [16, 32]
"""

TRAINED = ("--dataset", "iris", "--hidden", "8", "--max-epochs", "20", "--target-accuracy", "0.8")
LIMITS = ("--trials", "4", "--repeats", "2", "--confirm-top", "2")


def recorded(store, experiment="green"):
    """The parent runs, and the children by number."""
    experiment = store.get_experiment_by_name(experiment)
    runs = store.search_runs([experiment.experiment_id]) if experiment else []
    children = [run for run in runs if "search.number" in run.data.tags]
    parents = [run for run in runs if "search.key" in run.data.tags]
    assert len(children) + len(parents) == len(runs)
    return parents, sorted(children, key=lambda run: int(run.data.tags["search.number"]))


def trials(children):
    return [run for run in children if run.data.tags["search.role"] == "trial"]


def seeds_by_configuration(children):
    seeds = {}
    for run in children:
        seeds.setdefault(run.data.tags["config_id"], []).append(run.data.params["seed"])
    return seeds


def interrupt_after(monkeypatch, trainings: int) -> None:
    """Ctrl-C in the middle of the training that comes after so many."""
    one, count = loop.Search._one, iter(range(trainings + 1))
    epoch_end = train.EpochRecorder.on_epoch_end

    def counted(self, *given):
        if next(count, None) == trainings:

            def interrupted(self, epoch, logs=None):
                epoch_end(self, epoch, logs)
                raise KeyboardInterrupt

            monkeypatch.setattr(train.EpochRecorder, "on_epoch_end", interrupted)
        one(self, *given)

    monkeypatch.setattr(loop.Search, "_one", counted)


def record_of(children):
    ended = [run for run in children if run.info.status == "FINISHED"]
    return [
        (
            *(run.data.tags.get(f"search.{name}") for name in ("number", "role", "given_up_by")),
            *(run.data.tags[name] for name in ("config_id", "outcome")),
            run.data.params["seed"],
            run.data.metrics["energy_spent_j"],
        )
        for run in ended
    ]


def failing(monkeypatch, error, times: int) -> None:
    good, left = train.train, iter(range(times))

    def broken(*given, **named):
        if next(left, None) is not None:
            raise error
        return good(*given, **named)

    monkeypatch.setattr(train, "train", broken)
