"""What becomes of a call that a store does not answer: it is waited for, for a while."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)

from pipeline.terminal import is_of_the_store, progress_console
from steps.errors import one_line

T = TypeVar("T")

# What these say of a store that is away, in traces and for each attempt, is said in a line here.
for talker in ("mlflow.store.db.utils", "urllib3.connectionpool"):
    logging.getLogger(talker).setLevel(logging.CRITICAL)

PATIENCE_S = 180.0
"""From the first call that fails: a server that is started anew is back by then."""

SECONDS_BETWEEN_TRIES = 2.0

UNKNOWN = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)
REFUSALS = {
    ErrorCode.Name(code)
    for code in (BAD_REQUEST, INVALID_PARAMETER_VALUE, INVALID_STATE, RESOURCE_ALREADY_EXISTS)
}


def is_unknown(error: BaseException) -> bool:
    """Whether the store has no such run."""
    return isinstance(error, MlflowException) and error.error_code == UNKNOWN


def is_refusal(error: BaseException) -> bool:
    """Whether the store will never take it, or it is not the store's fault at all."""
    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    return not (isinstance(error, Exception) and is_of_the_store(error))


class Patience:
    """With a store that does not answer: that of all runs of this process together."""

    def __init__(self) -> None:
        self._until: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was waited for long enough; an answer puts that right."""
        return self._until is not None and time.monotonic() >= self._until

    def ask(self, question: Callable[[], T]) -> T:
        """The answer; where there is none, ask again until patience is over.

        Raises:
            Exception: what `question` raised last, or that waiting does not change.
        """
        while True:
            try:
                answer = question()
            except Exception as error:
                if is_refusal(error) or is_unknown(error) or not self._wait(error):
                    raise
            else:
                if self._until is not None:
                    progress_console.print("MLflow answers again")
                    self._until = None
                return answer

    def _wait(self, error: Exception) -> bool:
        if self._until is None:
            self._until = time.monotonic() + PATIENCE_S
            say(f"MLflow does not answer ({one_line(error)}); waiting for {PATIENCE_S:g} s at most")
        if self.is_over:
            return False
        try:
            time.sleep(SECONDS_BETWEEN_TRIES)
        except KeyboardInterrupt:
            self._until = time.monotonic()
            raise
        return True


patience = Patience()


class PatientClient:
    """MLflow's client, whose calls are asked with patience."""

    def __init__(self) -> None:
        """Of the store that this process talks to."""
        self._client = MlflowClient()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *words, **more: patience.ask(lambda: method(*words, **more))


def say(line: str) -> None:
    """A line on the error stream, whatever is shown there."""
    progress_console.print(line, markup=False, soft_wrap=True)
