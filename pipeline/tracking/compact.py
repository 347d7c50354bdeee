"""Recorded runs in little memory: ten thousand of them have the same names and few values.

A dictionary per run would take several times what MLflow's data frame does.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from steps.errors import printable

V_co = TypeVar("V_co", covariant=True)

UNREAD = frozenset({"mlflow.note.content"})
"""Tags that nothing reads from many runs: the description is longer than all others together."""


class ByName(Mapping[str, V_co]):
    """Values by name; the names and their places are those of other runs, too."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[V_co]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, name: str) -> V_co:
        return self._values[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


class Shared:
    """What the runs of one query share."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._layouts: dict[frozenset[str], tuple[tuple[str, ...], dict[str, int]]] = {}

    def text(self, text: str) -> str:
        """The same text, kept once, and such that it cannot steer a terminal."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = text if text.isprintable() else printable(text)
        return known

    def texts(self, pairs: Iterable[tuple[str, str | None]]) -> Mapping[str, str]:
        """Parameters or tags of a run. A tag without a value is an empty one."""
        by_name = dict(pairs)
        for name in UNREAD & by_name.keys():
            del by_name[name]
        names, places = self._layout_of(by_name)
        return ByName(places, tuple([self.text(by_name[name] or "") for name in names]))

    def numbers(self, pairs: Iterable[tuple[str, float]]) -> Mapping[str, float]:
        """Metrics of a run."""
        by_name = dict(pairs)
        names, places = self._layout_of(by_name)
        return ByName(places, array("d", [by_name[name] for name in names]))

    def _layout_of(self, by_name: Mapping[str, object]) -> tuple[tuple[str, ...], dict[str, int]]:
        """The names as they were logged, in the order of the values, and where each is found."""
        # A store gives the same names in whatever order they were logged.
        key = frozenset(by_name)
        layout = self._layouts.get(key)
        if layout is None:
            # MLflow takes a line break at the end of a name: that one must not stand for another.
            logged = {self.text(name): name for name in sorted(by_name, key=str.isprintable)}
            layout = tuple(logged.values()), {name: at for at, name in enumerate(logged)}
            self._layouts[key] = layout
        return layout
