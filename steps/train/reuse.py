"""Which fits can share a graph, and the graphs that are kept for them.

A search trains hundreds of models that differ only in learning rate, momentum, weight decay, batch
size, number of rows or seed. All of those are variables or arguments of the graph, so it is traced
once; XLA compiles it for each size.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from steps.train.epoch_graph import Data, EpochGraph, Plan
from steps.train.lending import GRAPH_NUMBERS, Storage, graph_numbers, inner_optimizer

GRAPHS_KEPT = 64
KEPT_BYTES = 10**9
"""Of all kept graphs' variables: each holds one more copy of its model's weights and optimizer
state. The graph used last is kept however large it is."""

STEP_TIMES_KEPT = 16

NUMBERED_BY_KERAS = ("keras.layers", "keras.optimizers", "keras.models", "keras.src.ops")
"""Modules whose objects Keras names by counting."""

KEYS_OF_NAMES = ("name", "keras_history", "input_layers", "output_layers")
"""Where a Keras configuration has the name of a layer."""


@dataclass
class Graphs:
    """The graphs of one architecture, and what is known about their speed with one plan."""

    storage: Storage
    plain: EpochGraph | None = None
    xla: EpochGraph | None = None
    compile_time_s: float = 0.0
    """Of all tracing and compiling so far, in whichever fit."""
    plain_compile_time_s: float = 0.0
    plain_epochs: int = 0
    """Trained without XLA so far, in whichever fit."""
    plain_step_times_s: deque[float] = field(default_factory=lambda: deque(maxlen=STEP_TIMES_KEPT))
    """Mean time of a batch, of the latest epochs."""
    xla_step_times_s: list[float] = field(default_factory=list)
    """Mean time of a batch, of the stretches of the trial."""
    xla_wins: bool | None = None
    """None until the trial is over."""
    xla_reason: str = "XLA was not expected to save more than its compilation costs"

    @property
    def is_free_of_foreign_state(self) -> bool:
        """Whether the graphs refer to nothing but their storage, so that others can use them."""
        graphs = [graph for graph in (self.plain, self.xla) if graph is not None]
        return all(self.storage.holds(graph.captures) for graph in graphs)


class GraphCache:
    """The last few `Graphs` of this process, by key."""

    def __init__(self, size: int = GRAPHS_KEPT, limit_bytes: int = KEPT_BYTES) -> None:
        """Args: how many to keep, and of how much memory in all."""
        self._size = size
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, Graphs] = OrderedDict()

    def find(self, key: str) -> Graphs | None:
        """The graphs of that key, which become the most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, graphs: Graphs) -> None:
        """Keep these, and let go of the least recently used beyond the limit."""
        self._kept[key] = graphs
        self._kept.move_to_end(key)
        while len(self._kept) > self._size or (len(self._kept) > 1 and self._is_over_limit):
            self._kept.popitem(last=False)

    @property
    def _is_over_limit(self) -> bool:
        return sum(each.storage.size_bytes for each in self._kept.values()) > self._limit_bytes

    def clear(self) -> None:
        """Let go of all."""
        self._kept.clear()


def graph_key(
    model: keras.Model, plan: Plan, train: Data, validation: Data, jit_compile: str
) -> str | None:
    """What a graph depends on, as text; None if that cannot be told from the configurations.

    It can be told for models, losses and metrics made of Keras' own classes: their configurations
    say all. A function, a class of the user's or a layer with adapted state may hold anything.
    """
    optimizer = inner_optimizer(model)
    if (plan.augment is not None and not hasattr(plan.augment, "graph_key")) or getattr(
        optimizer, "_exclude_from_weight_decay_pattern", None
    ) is not None:
        return None
    try:
        parts = {
            "model": keras.saving.serialize_keras_object(model),
            "compile": model.get_compile_config(),
            "optimizer": _optimizer_config(optimizer),
            "loss_scaling": model.optimizer is not optimizer and model.optimizer.get_config(),
        }
    except (NotImplementedError, TypeError, ValueError):
        return None
    for part in (parts["model"], parts["compile"]):
        part.pop("compile_config", None)
        part.pop("optimizer", None)
    if any(hasattr(layer, "adapt") for layer in _layers(model)) or not _all_from_keras(parts):
        return None
    fixed_sizes = jit_compile != "off"
    shapes = tf.nest.map_structure(
        lambda t: (t.dtype.name, t.shape.as_list()[0 if fixed_sizes else 1 :]), (train, validation)
    )
    sizes = (plan.batch_size, plan.validation_batch_size) if fixed_sizes else ()
    others = getattr(plan.augment, "graph_key", None), jit_compile, keras.config.floatx()
    return json.dumps([_canonical(parts), shapes, sizes, others], sort_keys=True)


def _optimizer_config(optimizer: keras.Optimizer) -> dict[str, Any]:
    config = keras.saving.serialize_keras_object(optimizer)
    values = config["config"]
    if isinstance(values["learning_rate"], float):
        values["learning_rate"] = "variable"
    if type(optimizer) in GRAPH_NUMBERS:
        values.update(dict.fromkeys(graph_numbers(optimizer), "variable"))
    return dict(config)


def _layers(model: keras.Model) -> list[keras.Layer]:
    return list(model._flatten_layers())


def _walk(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        for child in children:
            yield from _walk(child)


def _all_from_keras(config: Any) -> bool:
    described = (item for item in _walk(config) if isinstance(item, dict) and "class_name" in item)
    return all(
        item["class_name"] in ("__tuple__", "__keras_tensor__")
        or (
            str(item.get("module")).startswith("keras")
            and item.get("registered_name") in (None, item["class_name"])
        )
        for item in described
    )


def _canonical(config: Any) -> Any:
    """The configuration without seeds, the names of layers and optimizer replaced by numbers."""
    names: dict[str, str] = {}
    for item in _walk(config):
        if isinstance(item, dict) and _has_automatic_name(item):
            names.setdefault(item["config"].get("name"), f"#{len(names)}")

    def replaced(value: Any, key: str | None) -> Any:
        if isinstance(value, dict):
            if "DTypePolicy" in str(value.get("class_name")):
                return value
            return {k: replaced(v, k) for k, v in value.items() if k != "seed"}
        if isinstance(value, list | tuple):
            return [replaced(item, key) for item in value]
        return names.get(value, value) if key in KEYS_OF_NAMES else value

    return replaced(config, None)


def _has_automatic_name(item: dict[str, Any]) -> bool:
    module, name = str(item.get("module")), item.get("class_name")
    numbered = module.startswith(NUMBERED_BY_KERAS)
    return isinstance(item.get("config"), dict) and (
        numbered or name in ("Sequential", "Functional")
    )
