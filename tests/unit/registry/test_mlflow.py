"""The registry in MLflow: alias events in tags, and the alias that follows the last of them."""

from types import SimpleNamespace
from typing import Any

import pytest

from adloom.errors import ExternalServiceError
from adloom.registry.base import CHAMPION
from adloom.registry.mlflow import MAX_ALIAS_WRITES, MlflowRegistry


class Client:
    """One registered model; `other` happens before each time the model is read."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.writes = 0

    def other(self) -> None: ...

    def get_registered_model(self, name: str) -> Any:
        assert name == "shop-gan"
        self.other()
        return SimpleNamespace(tags=dict(self.tags), aliases=dict(self.aliases))

    def get_model_version(self, name: str, version: str) -> None: ...

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self.tags[key] = value

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version
        self.writes += 1


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def registry(client: Client) -> MlflowRegistry:
    registry = MlflowRegistry("http://127.0.0.1:9", "shop")
    registry._server.client = client
    return registry


def test_events_are_kept_in_order_with_who_and_why(registry: MlflowRegistry, client: Client) -> None:
    for version in (1, 2):
        assert registry.set_alias("gan", CHAMPION, version, f"schöner {version}", by="person") == version
    events = registry.alias_events("gan")
    assert [(event.version, event.reason, event.by) for event in events] == [
        (1, "schöner 1", "person"),
        (2, "schöner 2", "person"),
    ]
    assert [name.split(".")[:2] for name in sorted(client.tags)] == [["move", "000001"], ["move", "000002"]]
    assert client.aliases == {CHAMPION: "2"}


def test_the_alias_follows_a_later_event_of_another_process(
    registry: MlflowRegistry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_alias("gan", CHAMPION, 1, "first")
    later = next(iter(client.tags.values())).replace('"version": 1', '"version": 7')
    monkeypatch.setattr(client, "other", lambda: client.tags.update({"move.000009.x": later}))
    assert registry.set_alias("gan", CHAMPION, 2, "second") in (2, 7)
    assert client.aliases == {CHAMPION: str(registry.alias_events("gan")[-1].version)}


def test_endless_writes_of_others_are_an_error(
    registry: MlflowRegistry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "other", lambda: client.aliases.update({CHAMPION: "9"}))
    with pytest.raises(ExternalServiceError, match=f"gan: .*{CHAMPION} {MAX_ALIAS_WRITES} times"):
        registry.set_alias("gan", CHAMPION, 1, "never")
    assert client.writes == MAX_ALIAS_WRITES
