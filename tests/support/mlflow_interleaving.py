"""Interleave the calls of two MLflow clients in a given order."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import Any, TypeVar

from adloom.registry.mlflow import MlflowRegistry

WITHIN = 60  # seconds to wait for a turn
T = TypeVar("T")

Around = Callable[[str, Callable[[], Any]], Any]  # receives the name of a call and the call, and makes it


class Watched:
    """A client that passes every call to `around`."""

    def __init__(self, client: Any, around: Around) -> None:
        self._client, self._around = client, around

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._around(name, lambda: method(*args, **kwargs))


def watch(registry: MlflowRegistry, around: Around) -> MlflowRegistry:
    """Return another registry of the same project that calls MLflow through `around`."""
    watched = MlflowRegistry(registry.uri, registry.project, registry.provenance)
    watched._server.client = Watched(registry._server.client, around)
    return watched


def before(call: str, happens: Callable[[], object]) -> Around:
    """Call a function once, before the first call of this name."""
    left = [happens]

    def around(name: str, make: Callable[[], Any]) -> Any:
        if name == call and left:
            left.pop()()
        return make()

    return around


class Turns:
    """The order of calls by A and B, such as "AAB"; when one ends, the other calls freely."""

    def __init__(self, turns: str) -> None:
        self._turns, self._done, self._changed = turns, "", Condition()

    def of(self, who: str) -> Around:
        def around(name: str, make: Callable[[], Any]) -> Any:
            with self._changed:
                assert self._changed.wait_for(lambda: self._next() in (who, ""), WITHIN)
                self._turns = self._turns[1:]
                try:
                    return make()
                finally:
                    self._changed.notify_all()

        return around

    def _next(self) -> str:
        self._turns = self._turns.lstrip(self._done) if self._done else self._turns
        return self._turns[:1]

    def end(self, who: str) -> None:
        with self._changed:
            self._done += who
            self._changed.notify_all()


def race(
    registry: MlflowRegistry, turns: str, first: Callable[[MlflowRegistry], T], second: Callable[[MlflowRegistry], T]
) -> Sequence[T]:
    """Run the first function as A and the second as B at the same time; return both results."""
    order = Turns(turns)

    def do(who: str, what: Callable[[MlflowRegistry], T]) -> T:
        try:
            return what(watch(registry, order.of(who)))
        finally:
            order.end(who)

    with ThreadPoolExecutor(2) as threads:
        return [future.result() for future in (threads.submit(do, "A", first), threads.submit(do, "B", second))]
