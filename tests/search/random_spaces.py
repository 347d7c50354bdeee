"""Random good spaces, for properties that hold for all of them."""

from typing import Any

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FILE_PER_TEST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""A path of pytest's that all examples of a property write to, one after the other."""

VALUES = {
    "optimizer": ["adam", "sgd", "rmsprop"],
    "lr": ["1e-3", "0.01", "auto"],
    "batch_size": ["32", "128", "full"],
    "precision": ["float32", "float16"],
    "quantization": ["none", "int8"],
    "activation": ["sigmoid", "relu"],
}
CONDITION = st.one_of(
    st.none(),
    st.sampled_from(("optimizer", "precision")).flatmap(
        lambda name: st.fixed_dictionaries(
            {name: st.lists(st.sampled_from(VALUES[name]), min_size=1)}
        )
    ),
)


@st.composite
def space_files(draw) -> str:
    """Good spaces of lists, stepped ranges, conditions and a bundle."""
    lists = {
        name: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        for name, values in VALUES.items()
        if draw(st.booleans())
    }
    parameters: dict[str, Any] = dict(lists)
    step = draw(st.sampled_from(("0.1", "0.07", "0.3")))
    parameters["dropout"] = {"low": "0.05", "high": "0.35", "step": step}
    parameters["warmup_epochs"] = {"low": "1", "high": "6", "step": "2"}
    parameters["momentum"] = {"values": ["0", "0.9"]}
    for name in ("momentum", "dropout"):
        asked = draw(CONDITION)
        if asked and all(set(of) & set(lists.get(about, ())) for about, of in asked.items()):
            parameters[name]["when"] = asked
    bundle = {"short": {"max_epochs": "9", "jit_compile": "on"}, "usual": {}}
    bundles = draw(st.sampled_from(({}, {"length": bundle})))
    return yaml.safe_dump({"purpose": "Any.", "parameters": parameters, "bundles": bundles})
