"""What processes left behind that were killed, or lost their store: delivered, and runs ended."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run

from pipeline.cache import JOURNALS_LOCK
from pipeline.journal import Journal, Letter, Owner
from pipeline.note import note
from pipeline.tracking import letters
from pipeline.tracking.open_run import BIRTH, born_as, delete_twins
from pipeline.tracking.patience import is_refusal, is_unknown
from pipeline.tracking.search_log import BROKEN_OFF, KEY
from pipeline.tracking.store import open_experiment, recorded, tracking_uri
from steps.errors import one_line
from steps.outcome import Outcome


@dataclass(frozen=True)
class Delivery:
    """What became of a run that something was left of.

    Attributes:
        run_id: of the run.
        told: that, in a few words.
        is_done: whether nothing waits for it any longer.
    """

    run_id: str
    told: str
    is_done: bool


class _WaitsError(Exception):
    """What waits for a run goes on waiting. The message says why."""

    def __init__(self, reason: str, error: Exception | None = None) -> None:
        super().__init__(reason)
        # A store that does not answer will not do so for the next run either.
        self.concerns_all = error is not None and not (is_refusal(error) or is_unknown(error))


def close_abandoned_runs() -> list[Delivery]:
    """Deliver to this process's store what was left in this folder, and end the runs."""
    here = tracking_uri()
    left = [
        journal
        for journal in Journal.all()
        if (owner := journal.owner()) is not None
        and owner.tracking_uri == here
        and not journal.is_at_work
        and not owner.is_elsewhere
    ]
    return list(_delivered(left, may_be_born_again=False))


def deliver_all() -> Iterator[Delivery]:
    """The same for whatever stores the runs of this folder live in.

    A run that its store has lost gets a new one, if all that it was told is still here.
    """
    yield from _delivered(Journal.all(), may_be_born_again=True)


def _delivered(journals: list[Journal], *, may_be_born_again: bool) -> Iterator[Delivery]:
    silent: dict[str, str] = {}
    for journal in journals:
        owner = journal.owner()
        uri = "" if owner is None else owner.tracking_uri
        try:
            if uri in silent:
                raise _WaitsError(silent[uri])
            with FileLock(JOURNALS_LOCK):
                told = _deliver(journal, may_be_born_again)
        except _WaitsError as error:
            if error.concerns_all:
                silent[uri] = str(error)
            yield Delivery(journal.run_id, f"waits: {error}", is_done=False)
        else:
            if told:
                yield Delivery(journal.run_id, told, is_done=True)


def _deliver(journal: Journal, may_be_born_again: bool) -> str:
    """What became of the run; empty where there is nothing to tell."""
    owner = journal.owner()
    if owner is None:
        if journal.exists():
            raise _WaitsError("its journal cannot be read")
        return ""
    if journal.is_at_work:
        return "is at work"
    if owner.is_elsewhere and not any(map(letters.ends_the_run, journal.letters())):
        raise _WaitsError(f"it is at work on machine {owner.host}, or was left there")
    with _store(owner.tracking_uri):
        try:
            told = _given_to_mlflow(journal, owner, may_be_born_again)
        except Exception as error:
            # Of whatever kind: what was left must not keep a command from its own work.
            raise _WaitsError(f"{owner.tracking_uri}: {one_line(error)}", error) from error
    journal.delete()
    return told


@contextlib.contextmanager
def _store(uri: str) -> Iterator[None]:
    """Talk to that one. What MLflow prints when a run ends is no answer to any command."""
    before = tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        mlflow.set_tracking_uri(before)


def _given_to_mlflow(journal: Journal, owner: Owner, may_be_born_again: bool) -> str:
    client, run_id, waiting = MlflowClient(), journal.run_id, journal.letters()
    if owner.experiment_id is not None:
        for run in born_as(client, owner.experiment_id, run_id):
            _end(client, run.info.run_id)
        return ""
    run = _run(client, run_id)
    if run is None:
        waiting = journal.letters(delivered_too=True)
        if not may_be_born_again or not waiting or waiting[0].kind != letters.BIRTH:
            raise _WaitsError(f"{owner.tracking_uri} does not know it")
        run = _born_again(client, run_id, waiting[0])
    elif run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        return "was deleted; nothing is kept for it"
    if BROKEN_OFF in run.data.tags:
        # Its search has begun the training anew: this one must not count too.
        waiting = [letter for each in waiting for letter in _without_end(each)]
    for group in letters.together(waiting):
        letters.deliver(client, run.info.run_id, group)
        if run.info.run_id == run_id:
            journal.delivered(group[-1].number)
    is_complete = client.get_run(run.info.run_id).info.status != letters.AT_WORK
    if not is_complete:
        _end(client, run.info.run_id, letters.status_before(journal.letters(delivered_too=True)))
    told = "is complete now" if is_complete else "broke off; what it had measured is in it now"
    if run.info.run_id != run_id:
        told += f": as run {run.info.run_id}, since MLflow had lost it"
    return told


def _run(client: MlflowClient, run_id: str) -> Run | None:
    try:
        return client.get_run(run_id)
    except Exception as error:
        if is_unknown(error):
            return None
        raise


def _born_again(client: MlflowClient, lost: str, letter: Letter) -> Run:
    """The run that an earlier attempt made for the lost one, or a new one."""
    birth = letter.content
    experiment_id = open_experiment(birth["experiment"])
    tags = {**birth["tags"], BIRTH: lost}
    run = next(iter(born_as(client, experiment_id, lost)), None) or client.create_run(
        experiment_id, birth["at_ms"], tags, birth["name"]
    )
    # Those of an earlier attempt too, which may have broken off before it got here.
    delete_twins(client, run, lost)
    return run


def _without_end(letter: Letter) -> list[Letter]:
    if letters.ends_the_run(letter):
        return []
    if letter.kind != letters.FIGURES:
        return [letter]
    tags = {name: told for name, told in letter.content["tags"].items() if name != "outcome"}
    return [replace(letter, content={**letter.content, "tags": tags})]


def _end(client: MlflowClient, run_id: str, before: str = "") -> None:
    """As KILLED, and say so; what a training gave that had ended stays."""
    tags = client.get_run(run_id).data.tags
    is_training = "config_id" in tags
    told = {"failure": "its process ended before MLflow had everything"}
    if KEY in tags:
        told = {"failure": "its process ended; --resume takes up the search"}
    elif is_training and "outcome" not in tags:
        told["outcome"] = Outcome.FAILED
    for item in told.items():
        client.set_tag(run_id, *item)
    run = recorded(client.get_run(run_id))
    # Without parameters there is nothing to tell: the process was killed before it had them.
    if is_training and run.parameters:
        client.set_tag(run_id, "mlflow.note.content", note(run))
    client.set_terminated(run_id, before if before == letters.FINISHED else "KILLED")
