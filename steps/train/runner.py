"""One fit's epochs: which graph trains them, and what tracing and compiling took."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from steps.train import xla
from steps.train.epoch_graph import Data, EpochGraph, EpochResult, Plan
from steps.train.reuse import Graphs

Seed = tuple[int, int]
"""Of a fit and the number of the epoch."""

Compiling = Callable[[], AbstractContextManager[object]]

SECONDS_BETWEEN_QUESTIONS = 0.5
"""About as long is a stretch of an epoch that may end within."""

TRIAL_STRETCHES = 2
"""The first stretch through a fresh executable also warms it up; the better one counts."""


class EpochRunner:
    """Trains epoch after epoch in the graphs that it is given, adding to them what is missing."""

    def __init__(
        self,
        model: keras.Model,
        graphs: Graphs,
        plan: Plan,
        train: Data,
        validation: Data,
        jit_compile: xla.JitCompile,
        compiling: Compiling,
        ends_within: Callable[[], bool] | None = None,
    ) -> None:
        """Trace what the first epoch needs, unless it is there.

        Args:
            model: lives in ``graphs.storage`` for as long as this runner is used.
            graphs: of this architecture and plan.
            plan: sizes of an epoch.
            train: training tensors.
            validation: validation tensors; empty for none.
            jit_compile: on, off, or auto: what is expected to cost least in the end.
            compiling: makes a context for each stretch of tracing and compiling.
            ends_within: asked between the stretches of a long epoch whether it ends here.

        Raises:
            ValueError: XLA is asked for and cannot compile this model.
        """
        self._model = model
        self._graphs = graphs
        self._plan = plan
        self._train = train
        self._validation = validation
        self._jit_compile = jit_compile
        self._compiling = compiling
        self._ends_within = ends_within
        # At first nobody knows how long a batch takes: others may have trained in this graph.
        self._batches_at_once = 1
        self.ended_within = False
        """Whether the latest epoch ended before its last batch."""
        self.compile_time_s = 0.0
        """Of the tracing and compiling in this fit."""
        if self.uses_xla and graphs.xla is None:
            try:
                self._compile_xla()
            except tf.errors.OpError as error:
                raise ValueError(f"--jit-compile on: {_refusal(error)}") from error
        elif not self.uses_xla and graphs.plain is None:
            with self._compile_timed():
                graphs.plain = EpochGraph(model, plan, train, validation, xla=False)
            graphs.plain_compile_time_s = self.compile_time_s

    @property
    def uses_xla(self) -> bool:
        """Whether XLA trains the next epoch, as far as is decided."""
        auto = self._jit_compile == "auto" and self._graphs.xla_wins is True
        return self._jit_compile == "on" or auto

    @property
    def why(self) -> str:
        """Why XLA is used or not, in one sentence."""
        if self._jit_compile != "auto":
            return f"--jit-compile {self._jit_compile}"
        return self._graphs.xla_reason

    def run(
        self,
        order: tf.Tensor,
        seed: Seed,
        epochs_left: int,
        epochs_expected: int | None = None,
    ) -> EpochResult:
        """Train one epoch and validate.

        Args:
            order: permutation of the training rows, int32, shape (rows,).
            seed: of the augmentation.
            epochs_left: how many there can still be, this one included.
            epochs_expected: how many of those are likely; None if nobody knows.
        """
        graphs = self._graphs
        if self._jit_compile == "auto" and graphs.xla_wins is None:
            likely = graphs.plain_epochs if epochs_expected is None else epochs_expected
            self._consider_xla(min(likely, epochs_left))
            if graphs.xla is not None and graphs.xla_wins is None:
                return self._try_xla(order, seed)
        if self.uses_xla:
            return self._to_the_end(graphs.xla, order, seed)[0]
        result, step_time_s = self._to_the_end(graphs.plain, order, seed)
        graphs.plain_epochs += 1
        graphs.plain_step_times_s.append(step_time_s)
        return result

    def _consider_xla(self, epochs: int) -> None:
        graphs = self._graphs
        if graphs.plain is None or not graphs.plain_step_times_s or graphs.xla is not None:
            return
        hopeless = xla.cannot_win(graphs.plain.operation_types)
        if hopeless is not None:
            graphs.xla_wins, graphs.xla_reason = False, hopeless
        elif xla.is_worth_a_trial(
            graphs.plain.operations_per_step,
            median(graphs.plain_step_times_s),
            epochs * self._plan.steps,
            graphs.plain_compile_time_s,
        ):
            try:
                self._compile_xla()
            except tf.errors.OpError as error:
                graphs.xla_wins, graphs.xla_reason = False, _refusal(error)

    def _try_xla(self, order: tf.Tensor, seed: Seed) -> EpochResult:
        """An epoch whose first batches are the trial; all of it is training."""
        graphs, steps = self._graphs, self._plan.steps
        plain_s = median(graphs.plain_step_times_s)
        tried = xla.trial_steps(plain_s, steps)
        result, step_time_s = self._stretch(graphs.xla, order, seed, 0, tried)
        graphs.xla_step_times_s.append(step_time_s)
        if len(graphs.xla_step_times_s) >= TRIAL_STRETCHES:
            xla_s = min(graphs.xla_step_times_s)
            graphs.xla_wins = xla_s < plain_s
            graphs.xla_reason = (
                f"a batch took {1e6 * xla_s:.0f} µs with XLA and {1e6 * plain_s:.0f} µs without"
            )
        if tried == steps:
            return result
        graph = graphs.xla if graphs.xla_wins else graphs.plain
        rest, _ = self._to_the_end(graph, order, seed, tried)
        losses = np.concatenate([result.batch_losses, rest.batch_losses])
        return replace(rest, batch_losses=losses)

    def _to_the_end(
        self, graph: EpochGraph | None, order: tf.Tensor, seed: Seed, first: int = 0
    ) -> tuple[EpochResult, float]:
        """Batches `first` to the last of the epoch, and validation; seconds of a batch.

        If `ends_within` says so, the epoch ends earlier: validated, and with a loss of NaN for each
        batch that was not trained.
        """
        steps = self._plan.steps
        if self._ends_within is None:
            return self._stretch(graph, order, seed, first, steps)
        losses = np.full(steps - first, np.nan)
        last = first
        spent_s = asked_at_s = 0.0
        while True:
            begin, last = last, min(steps, last + self._batches_at_once)
            result, step_time_s = self._stretch(graph, order, seed, begin, last)
            losses[begin - first : last - first] = result.batch_losses
            spent_s += step_time_s * (last - begin)
            self._batches_at_once = math.ceil(SECONDS_BETWEEN_QUESTIONS / step_time_s)
            if last < steps and spent_s - asked_at_s >= SECONDS_BETWEEN_QUESTIONS:
                asked_at_s = spent_s
                self.ended_within = self._ends_within()
                if self.ended_within:
                    result = self._run(graph, order, seed, last, last, validate=True)
            if last == steps or self.ended_within:
                return replace(result, batch_losses=losses), spent_s / (last - first)

    def _stretch(
        self, graph: EpochGraph | None, order: tf.Tensor, seed: Seed, first: int, last: int
    ) -> tuple[EpochResult, float]:
        """Batches `first` to `last` - 1, validation after the last of the epoch; seconds each."""
        began = time.perf_counter()
        result = self._run(graph, order, seed, first, last, validate=last == self._plan.steps)
        elapsed_s = time.perf_counter() - began - result.validation_time_s
        return result, elapsed_s / (last - first)

    def _run(
        self,
        graph: EpochGraph | None,
        order: tf.Tensor,
        seed: Seed,
        first: int,
        last: int,
        validate: bool,
    ) -> EpochResult:
        assert graph is not None
        return graph.run(
            self._plan, self._train, self._validation, order, seed, first, last, validate
        )

    def _compile_xla(self) -> None:
        with self._compile_timed():
            self._graphs.xla = EpochGraph(
                self._model, self._plan, self._train, self._validation, xla=True
            )

    @contextmanager
    def _compile_timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            with self._compiling(), self._graphs.storage.numbers_of(self._model):
                yield
        finally:
            elapsed_s = time.perf_counter() - began
            self.compile_time_s += elapsed_s
            self._graphs.compile_time_s += elapsed_s


def _refusal(error: tf.errors.OpError) -> str:
    return f"XLA cannot compile this model ({str(error.message).splitlines()[0]})"
