"""New champions are taken while requests are answered; what is bad or does not fit is refused, the old one serves."""

import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import uvicorn
from tests.support.decide_server import REQUEST_BODY, Answer, Connection, metric, run_decide_server
from tests.support.decision_logs import wait_until
from tests.support.mlflow_server import MlflowServer
from tests.support.relay import Relay
from tests.support.tiny_models import write_audience, write_policy

from adloom.config.sources import Source
from adloom.data.privacy import PUBLISHED_KEY
from adloom.errors import ExternalServiceError
from adloom.registry.base import CHAMPION, Registry
from adloom.registry.memory import MemoryRegistry
from adloom.registry.mlflow import MlflowRegistry
from adloom.serving import app, http_server
from adloom.serving.api import auth
from adloom.serving.api.schemas import REFRESH
from adloom.serving.models import sources
from adloom.serving.models.bundle_cache import BundleCache
from adloom.serving.models.refresher import ModelRefresher
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest

KEYS = (PUBLISHED_KEY, b"a key for tests only")  # each pair's audience is under one of them
MODELS = ("audience", "policy")
SWAPS = 7
CLIENTS = 4
PAUSE = 0.05  # seconds between two requests of a client, which leave time to the registry
AWAY = "the registry does not answer"
UNFETCHED = "cannot be fetched"
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # seconds, tries
PARAMS = Path(__file__).parents[2] / "src" / "adloom" / "starter" / "params.yaml"

Pair = tuple[str, str]  # digests of an audience and a policy


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders, each with an audience and a policy that was trained with it."""
    return [write_pair(tmp_path_factory.mktemp("pair"), key, f"creative-{i}") for i, key in enumerate(KEYS)]


def write_pair(folder: Path, key: bytes, best: str) -> Path:
    write_audience(folder / "audience", key)
    write_policy(folder / "policy", manifest.digest(folder / "audience"), best)
    return folder


def register(registry: Registry, folder: Path) -> dict[str, int]:
    """Register a pair and return its versions."""
    return {model: registry.register(model, folder / model, {}).version for model in MODELS}


def promote(registry: Registry, versions: Mapping[str, int]) -> None:
    for model, version in versions.items():
        registry.set_alias(model, CHAMPION, version, "for a test")


def digests(folder: Path) -> Pair:
    return manifest.digest(folder / "audience"), manifest.digest(folder / "policy")


def said(answer: Answer) -> Pair:
    """The pair that an answer comes from; the user is in its segment, whichever key the pair is under."""
    assert (answer.status, answer.body["tier"], answer.body["segment"]) == (200, "model", "segment-1")
    return answer.body["audience"]["digest"], answer.body["policy"]["digest"]


@dataclass
class Load:
    """Clients that ask again and again, until they are told to end; nothing but a decision is an answer."""

    url: str
    token: str
    ended: Event = field(default_factory=Event)
    seen: list[list[Pair]] = field(default_factory=list)  # of each client, in order, each change once
    count: int = 0

    @contextmanager
    def running(self) -> Iterator["Load"]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(self._ask) for _ in range(CLIENTS)]
            try:
                yield self
            finally:
                self.ended.set()
            for future in asking:
                future.result()

    def _ask(self) -> None:
        mine: list[Pair] = []
        self.seen.append(mine)
        with Connection(self.url) as connection:
            while not self.ended.wait(PAUSE):
                if (pair := said(connection.ask(REQUEST_BODY, f"Authorization: Bearer {self.token}"))) not in mine[-1:]:
                    mine.append(pair)
                self.count += 1


def listed(url: str) -> Pair:
    """The pair that /v1/models names."""
    models = {
        found["model"]["name"]: found["model"]["digest"] for found in httpx.get(f"{url}/v1/models").json()["models"]
    }
    return models["audience"], models["policy"]


def until_served(url: str, pair: Path) -> None:
    wanted = digests(pair)
    wait_until(lambda: listed(url) == wanted)


def refresh(url: str, token: str) -> httpx.Response:
    """Let it look at the registry now."""
    return httpx.post(url + REFRESH, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def test_pairs_are_taken_under_load_and_nothing_fails_while_s3_and_then_mlflow_are_away(
    pairs: list[Path], mlflow: MlflowServer, project: str, door: Relay, relay: Relay, tmp_path: Path
) -> None:
    params = PARAMS.read_text(encoding="utf-8").replace("project: demo", f"project: {project}")
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    registry = MlflowRegistry(mlflow.uri, project)
    third = write_pair(tmp_path / "third", KEYS[0], "creative-2")
    versions = [register(registry, folder) for folder in [*pairs, third]]
    promote(registry, versions[0])
    token = auth.add_token(tmp_path / "tokens", "ops", ["admin"])
    environment = {
        **IMPATIENT,
        "ADLOOM_TOKENS_FILE": "tokens",
        "ADLOOM_FOLLOW_SECONDS": "0.2",
        "ADLOOM_PSEUDONYM_KEY": KEYS[1].decode(),
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{door.port}",
    }
    bidder = auth.add_token(tmp_path / "tokens", "bidder", ["decide"])
    with (
        run_decide_server(tmp_path, ["--follow", "champion"], environment) as running,
        Load(running.url, bidder).running() as load,
    ):

        def swap(numbers: Iterable[int]) -> None:
            for number in numbers:
                promote(registry, versions[number])
                until_served(running.url, ([*pairs, third])[number])

        def goes_on() -> None:
            before = load.count
            wait_until(lambda: load.count > before + 100)

        swap([1, 0, 1])
        relay.refuse()  # S3 is away
        promote(registry, versions[2])  # whose files nobody here has yet
        wait_until(lambda: UNFETCHED in running.errors)
        goes_on()
        assert listed(running.url) == digests(pairs[1])
        assert AWAY not in running.errors
        swap([0])  # whose files are here
        door.refuse()  # and now MLflow
        wait_until(lambda: AWAY in running.errors)
        goes_on()
        assert refresh(running.url, token).status_code == 200  # with what is known, or not at all
        assert listed(running.url) == digests(pairs[0])
        door.heal()
        relay.heal()
        swap([1, 2, 1])
        text = httpx.get(f"{running.url}/metrics").text
        for model in MODELS:
            assert metric(text, f'adloom_model_swaps_total{{model="{model}"}}') == SWAPS
    assert set().union(*load.seen) == {digests(folder) for folder in [*pairs, third]}
    assert all(len(mine) >= SWAPS // 2 for mine in load.seen)
    running.verify_log()


@dataclass
class Here:
    """The decide app in a thread of this process, on a registry in memory; it looks only when it is told to."""

    url: str
    registry: MemoryRegistry
    admin: str
    bidder: str
    away: Event

    def refresh(self) -> Mapping[str, Any]:
        """Let it look, and return what it says of its models."""
        answer = refresh(self.url, self.admin)
        assert answer.status_code == 200
        found: Mapping[str, Any] = answer.json()
        return found

    def metric(self, name: str, model: str) -> float:
        text = httpx.get(f"{self.url}/metrics").text
        return metric(text, f'adloom_model_{name}_total{{model="{model}"}}')

    def serves(self) -> Pair:
        with Connection(self.url) as connection:
            return said(connection.ask(REQUEST_BODY, f"Authorization: Bearer {self.bidder}"))


def changed(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def serving_here(folder: Path, pins: Mapping[str, int], registry: MemoryRegistry) -> Iterator[Here]:
    tokens, away = folder / "tokens", Event()
    admin, bidder = auth.add_token(tokens, "ops", ["admin"]), auth.add_token(tokens, "bidder", ["decide"])

    def look() -> sources.Sources:
        if away.is_set():
            raise ExternalServiceError("MLflow at http://mlflow: cannot list versions of policy: Connection refused")
        return sources.find_champions(registry, BundleCache(folder / "bundles"), MODELS, pins)

    refresher = ModelRefresher(look, threads=1)
    models = refresher.refresh().models
    dependencies = app.ServiceDependencies(PseudonymKeys(KEYS[1]), auth.TokenAuth(tokens), refresher=refresher)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        running = uvicorn.Server(
            http_server.ServerConfig(app.create_decide_app(models, dependencies), **http_server.UVICORN_OPTIONS)
        )
        thread = Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            wait_until(lambda: running.started)
            yield Here(f"http://127.0.0.1:{bound.getsockname()[1]}", registry, admin, bidder, away)
        finally:
            running.should_exit = True
            thread.join(30)


@pytest.fixture
def registry(pairs: list[Path], tmp_path: Path) -> MemoryRegistry:
    """A registry whose champions are the first pair."""
    registry = MemoryRegistry(tmp_path / "registry")
    promote(registry, register(registry, pairs[0]))
    return registry


@pytest.fixture
def here(registry: MemoryRegistry, tmp_path: Path) -> Iterator[Here]:
    with serving_here(tmp_path, {}, registry) as here:
        yield here


def test_who_may_tell_it_to_look(here: Here, pairs: list[Path]) -> None:
    promote(here.registry, register(here.registry, pairs[1]))
    refused = [httpx.post(here.url + REFRESH), refresh(here.url, "a guess"), refresh(here.url, here.bidder)]
    assert [answer.status_code for answer in refused] == [401, 401, 403]
    assert {answer.json()["detail"] for answer in refused} == {"not allowed"}
    assert here.serves() == digests(pairs[0])
    found = here.refresh()
    assert {m["model"]["name"]: m["model"]["version"] for m in found["models"]} == {"audience": 2, "policy": 2}
    assert here.serves() == digests(pairs[1])
    here.refresh()  # nothing is new
    assert [here.metric("swaps", model) for model in MODELS] == [1, 1]


@pytest.mark.parametrize(
    ("model", "file"), [("policy", "policy.npz"), ("policy", "card.json"), ("audience", "members.npz")]
)
def test_a_byte_that_changed_is_refused_with_the_pair_and_counted_once(
    here: Here, pairs: list[Path], model: str, file: str
) -> None:
    promote(here.registry, register(here.registry, pairs[1]))
    stored = here.registry.folder / manifest.digest(pairs[1] / model)
    changed(stored / file)
    with Load(here.url, here.bidder).running() as load:
        for _ in range(3):
            refused = here.refresh()["refused"]
        before = load.count
        wait_until(lambda: load.count > before + 20)
    assert "version 2 cannot be fetched" in refused[model]
    assert set(refused) == set(MODELS)  # the other half would not fit
    assert set().union(*load.seen) == {digests(pairs[0])}
    assert [here.metric("refused", name) for name in MODELS] == [1, 1]
    assert [here.metric("swaps", name) for name in MODELS] == [0, 0]
    shutil.rmtree(stored)
    shutil.copytree(pairs[1] / model, stored)
    assert here.refresh()["refused"] == {}  # it is whole again, and taken
    assert here.serves() == digests(pairs[1])


def test_what_is_whole_and_yet_no_policy_is_refused(here: Here, pairs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(pairs[0], tmp_path / "bad")
    card = (tmp_path / "bad" / "policy" / "card.json").read_bytes()
    with manifest.draft(tmp_path / "bad" / "policy", "train_policy", Source(uri="by hand"), {}) as made:
        (made.path / "policy.npz").write_bytes(b"PK no arrays")
        (made.path / "card.json").write_bytes(card)
    promote(here.registry, register(here.registry, tmp_path / "bad"))
    assert "policy.npz" in here.refresh()["refused"]["policy"]
    assert here.serves() == digests(pairs[0])
    assert (here.metric("refused", "policy"), here.metric("refused", "audience")) == (1, 0)


@pytest.mark.parametrize("model", MODELS)
def test_half_a_pair_waits_for_the_other_half(here: Here, pairs: list[Path], model: str) -> None:
    versions = register(here.registry, pairs[1])
    here.registry.set_alias(model, CHAMPION, versions[model], "for a test")
    assert "promote them as a pair" in here.refresh()["refused"][model]
    assert here.serves() == digests(pairs[0])
    assert here.metric("refused", model) == 1
    promote(here.registry, versions)
    assert here.refresh()["refused"] == {}
    assert here.serves() == digests(pairs[1])


def test_pinned_versions_stay(pairs: list[Path], registry: MemoryRegistry, tmp_path: Path) -> None:
    pins = register(registry, pairs[0])
    with serving_here(tmp_path, pins, registry) as here:
        promote(registry, register(registry, pairs[1]))
        assert here.refresh()["refused"] == {}
        assert here.serves() == digests(pairs[0])
        assert [here.metric("swaps", model) for model in MODELS] == [0, 0]


def test_half_a_pair_that_is_pinned_keeps_the_other_half(
    pairs: list[Path], registry: MemoryRegistry, tmp_path: Path
) -> None:
    with serving_here(tmp_path, {"audience": 1}, registry) as here:
        promote(registry, register(registry, pairs[1]))
        assert "promote them as a pair" in here.refresh()["refused"]["policy"]
        assert here.serves() == digests(pairs[0])


def test_while_the_registry_is_away_what_serves_serves_on(here: Here, pairs: list[Path]) -> None:
    promote(here.registry, register(here.registry, pairs[1]))
    here.away.set()
    answer = refresh(here.url, here.admin)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert here.serves() == digests(pairs[0])
    here.away.clear()
    here.refresh()
    assert here.serves() == digests(pairs[1])
