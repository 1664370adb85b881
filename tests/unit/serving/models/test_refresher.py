"""Newer models: found, tried and served between two requests, or refused while the old ones serve on."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.support.tiny_models import write_audience, write_models, write_policy
from tests.support.uvicorn_server import running

from adloom.errors import ExternalServiceError
from adloom.registry.base import CHAMPION, ModelVersion
from adloom.registry.memory import MemoryRegistry
from adloom.serving import app
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models import loader, sources
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import NO_MODELS, ModelRefresher, RefreshResult, SharedChampions, replace_models
from adloom.serving.models.sources import Sources, UnavailableModel
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest

NAMES = ["audience", "policy"]
PLAIN = {"placement": "side", "candidates": ["creative-0", "creative-1"], "user_id": "1", "tmax_ms": 60_000}


class Shop:
    """A registry in memory, into which a test promotes policies, and which may go away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache, self.away = folder, BundleCache(folder / "cache"), False
        (folder / "registry").mkdir()
        self.registry = MemoryRegistry(folder / "registry")
        self.made = 0

    def audience(self, key: bytes | None = None) -> str:
        """Promote an audience and return its digest."""
        target = self.folder / f"audience-{self.made}"
        self.made += 1
        write_audience(target, key) if key else write_audience(target)
        return self._promote("audience", target)

    def policy(self, audience: str | None, best: str = "creative-0", change: Callable[[Path], None] = bool) -> str:  # type: ignore[assignment]
        """Promote a policy, changed after its manifest was written, and return its digest."""
        target = self.folder / f"policy-{self.made}"
        self.made += 1
        write_policy(target, audience, best)
        digest = self._promote("policy", target)
        change(self.registry.folder / digest)
        return digest

    def find(self) -> Sources:
        """Return where the champions are."""
        if self.away:
            return sources.find_champions(Away(self.folder), self.cache, NAMES)
        return sources.find_champions(self.registry, self.cache, NAMES)

    def note(self, model: str, version: int, digest: str) -> None:
        """Note what serves, as a service does."""
        self.cache.save_champion(model, Champion(version, digest))

    def _promote(self, model: str, target: Path) -> str:
        version = self.registry.register(model, target, {})
        self.registry.set_alias(model, CHAMPION, version.version, "a test")
        return version.digest


class Away(MemoryRegistry):
    """A registry that does not answer."""

    def versions(self, model: str) -> list[ModelVersion]:
        raise ExternalServiceError("connection refused")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def create_refresher(shop: Shop, **changes: object) -> ModelRefresher:
    refresher = ModelRefresher(shop.find, 1, save_champion=shop.note, **changes)  # type: ignore[arg-type]
    refresher.refresh()
    return refresher


def digests(models: Models) -> dict[str, str]:
    return {name: bundle.origin.digest for name, bundle in models.loaded.items()}


def test_a_new_champion_is_served_and_the_same_one_is_not_opened_again(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    refresher = create_refresher(shop)
    assert digests(refresher.models) == {"audience": audience, "policy": first}
    kept = refresher.models.loaded["audience"]
    second = shop.policy(audience, "creative-1")
    result = refresher.refresh()
    assert digests(result.models) == {"audience": audience, "policy": second}
    assert result.swapped == ("policy",)
    assert result.models.loaded["audience"] is kept
    assert refresher.refresh().swapped == ()


def _break(folder: Path) -> None:
    (folder / "policy.npz").write_bytes(b"broken")


def _rebreak(folder: Path) -> None:
    """Broken before it was registered: its manifest says that these bytes are right."""
    shutil.rmtree(folder)
    from tests.support.tiny_models import PARAMS

    with manifest.draft(folder, "by hand", PARAMS, {}) as made:
        (made.path / "policy.npz").write_bytes(b"PK")
        (made.path / "card.json").write_text("{}")


def test_a_bad_model_is_refused_and_logged_once_and_the_old_one_keeps_serving(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    refresher = create_refresher(shop)
    shop.policy(audience, "creative-1", _break)
    result = refresher.refresh()
    assert digests(result.models)["policy"] == first
    assert result.newly_failed == ("policy",)
    assert "its digest is not" in result.refused["policy"]
    again = refresher.refresh()
    assert (again.newly_failed, again.refused) == ((), result.refused)
    assert caplog.text.count("the old version keeps serving") == 1
    good = shop.policy(audience, "creative-2")
    assert digests(refresher.refresh().models)["policy"] == good


def test_a_model_that_does_not_open_is_refused(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    before = replace_models(NO_MODELS, shop.find(), 1).models
    broken = shop.folder / "broken"
    write_policy(broken, audience)
    _rebreak(broken)
    found = {**shop.find(), "policy": sources.ModelArtifact(broken, 9)}
    result = replace_models(before, found, 1)
    assert digests(result.models)["policy"] == first
    assert "expected an npz with" in result.refused["policy"]


def test_policy_and_audience_change_as_a_pair(shop: Shop) -> None:
    old = shop.audience()
    first = shop.policy(old)
    refresher = create_refresher(shop)
    new = shop.audience(b"another key of the shop")
    result = refresher.refresh()  # the audience moved, the policy did not yet
    assert digests(result.models) == {"audience": old, "policy": first}
    assert result.refused.keys() == {"audience"}
    second = shop.policy(new)
    result = refresher.refresh()
    assert digests(result.models) == {"audience": new, "policy": second}
    assert set(result.swapped) == {"audience", "policy"}


def test_a_policy_that_is_ahead_of_its_audience_waits(shop: Shop) -> None:
    old = shop.audience()
    first = shop.policy(old)
    refresher = create_refresher(shop)
    shop.policy("f" * 64)
    result = refresher.refresh()
    assert digests(result.models) == {"audience": old, "policy": first}
    assert result.refused.keys() == {"policy"}


def test_the_first_policy_comes_while_serving(shop: Shop) -> None:
    audience = shop.audience()
    refresher = create_refresher(shop)
    assert "no champion" in refresher.models.absent["policy"]
    policy = shop.policy(audience)
    result = refresher.refresh()
    assert digests(result.models) == {"audience": audience, "policy": policy}
    assert result.models.absent == {}


def test_an_unavailable_registry_changes_nothing(shop: Shop) -> None:
    audience = shop.audience()
    policy = shop.policy(audience)
    refresher = create_refresher(shop)
    shop.away = True
    result = refresher.refresh()
    assert (digests(result.models), result.swapped, result.refused) == (
        {"audience": audience, "policy": policy},
        (),
        {},
    )


def test_a_removed_alias_changes_nothing(shop: Shop) -> None:
    audience = shop.audience()
    before = loader.load({**shop.find(), "policy": UnavailableModel("it has no champion")}, 1)
    result = replace_models(
        before,
        {"audience": UnavailableModel("it has no champion"), "policy": UnavailableModel("it has no champion")},
        1,
    )
    assert digests(result.models) == {"audience": audience}
    assert result.refused == {"audience": "it has no champion"}


def test_pinned_versions_stay(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    shop.policy(audience, "creative-1")
    find = partial(sources.find_champions, shop.registry, shop.cache, NAMES, {"policy": 1})
    refresher = ModelRefresher(
        find,
        1,
        save_champion=lambda model, *said: shop.cache.save_champion(
            sources.champion_key(model, {"policy": 1}), Champion(*said)
        ),
    )
    refresher.refresh()
    assert digests(refresher.models)["policy"] == first
    shop.policy(audience, "creative-2")
    assert digests(refresher.refresh().models)["policy"] == first
    assert shop.find()["policy"] == sources.ModelArtifact(
        shop.cache.folder / manifest.digest(shop.folder / "policy-3"), 3, "registry"
    )
    remembered = sources.find_in_cache(shop.cache, NAMES, {"policy": 1})["policy"]
    assert remembered == sources.ModelArtifact(shop.cache.folder / first, 1, "cache")
    gone = sources.find_champions(shop.registry, shop.cache, NAMES, {"policy": 9})["policy"]
    assert gone == UnavailableModel("version 9 is not registered; `adloom models` lists those that are")


class TestThread:
    """The thread that refreshes periodically."""

    @pytest.fixture
    def looked(self) -> "tuple[threading.Event, list[RefreshResult]]":
        return threading.Event(), []

    def start(self, shop: Shop, refresher: ModelRefresher, seen: list[RefreshResult], event: threading.Event) -> None:
        def publish(result: RefreshResult) -> None:
            seen.append(result)
            event.set()

        refresher.publish = publish
        refresher.start(sources.find_in_cache(shop.cache, NAMES))

    def test_it_refreshes_again_after_any_error(self, shop: Shop) -> None:
        audience = shop.audience()
        refresher = create_refresher(shop, interval=0.01)
        find, calls, done = refresher.find, [0], threading.Event()

        def sometimes() -> Sources:
            calls[0] += 1
            if calls[0] == 1:
                raise ExternalServiceError("away")
            if calls[0] == 2:
                raise RuntimeError("unforeseen")
            done.set()
            return find()

        refresher.find = sometimes
        self.start(shop, refresher, [], threading.Event())
        assert done.wait(10)
        refresher.close()
        assert digests(refresher.models) == {"audience": audience}

    def test_one_process_queries_the_registry_and_the_other_watches_the_cache(
        self, shop: Shop, looked: "tuple[threading.Event, list[RefreshResult]]"
    ) -> None:
        audience = shop.audience()
        policy = shop.policy(audience)
        find_noted = partial(sources.find_in_cache, shop.cache, NAMES)
        notes = SharedChampions(find_noted, partial(shop.cache.hash_champions, NAMES), shop.folder / "lock")
        leads = create_refresher(shop, interval=0.05, shared=notes)
        asked: list[str] = []

        def never() -> Sources:
            asked.append("the registry")
            return shop.find()

        follows = create_refresher(shop, interval=0.05, shared=notes)
        follows.find = never
        self.start(shop, leads, [], threading.Event())
        assert leads._is_leader()
        event, seen = looked
        self.start(shop, follows, seen, event)
        assert follows.first_refresh.wait(10)
        asked.clear()  # the first look is each one's own
        assert not follows._is_leader()
        new = shop.policy(audience, "creative-1")
        while digests(follows.models)["policy"] == policy:
            assert event.wait(10)
            event.clear()
        assert digests(follows.models)["policy"] == new
        assert asked == []
        leads.close()
        assert follows._is_leader()  # who is left asks from now on
        follows.close()


@pytest.fixture
def service(shop: Shop) -> app.Service:
    shop.policy(shop.audience())
    refresher = create_refresher(shop)
    dependencies = app.ServiceDependencies(PseudonymKeys(None), log=MemoryLog(), refresher=refresher)
    return app.Service(refresher.models, dependencies, app.DECIDE_ENDPOINTS)


@pytest.fixture
def url(service: app.Service) -> Iterator[str]:
    with running(app.with_middleware(service)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.slow
def test_swaps_under_load_fail_no_request(shop: Shop, service: app.Service, url: str) -> None:
    """Ten champions one after the other; from the middle on, the registry is away."""
    stop, seen = threading.Event(), set()
    audience = service.models.audience.origin.digest

    def ask(_: int) -> int:
        failed = 0
        with httpx.Client(base_url=url) as client:
            while not stop.is_set():
                response = client.post(DECIDE, json=PLAIN)
                failed += response.status_code != 200 or response.json()["tier"] != "model"
                seen.add(response.json()["policy"]["digest"])
        return failed

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, i) for i in range(4)]
        promoted = []
        for i in range(10):
            promoted.append(shop.policy(audience, f"creative-{i % 5}" if i < 5 else "creative-4"))
            shop.away = i >= 5
            models = httpx.post(url + "/v1/models/refresh", timeout=30).json()["models"]
            assert models[1]["model"]["digest"] == promoted[min(i, 4)]
        stop.set()
        assert [each.result() for each in asking] == [0] * 4
    assert seen >= set(promoted[:5]) - {promoted[0]}
    text = httpx.get(url + "/metrics").text
    assert 'adloom_model_swaps_total{model="policy"}' in text


def test_a_refresh_that_fails_says_why(service: app.Service, url: str) -> None:
    assert service.dependencies.refresher is not None

    def nobody() -> Sources:
        raise ExternalServiceError("the process that fetches champions ended")

    service.dependencies.refresher.find = nobody
    response = httpx.post(url + "/v1/models/refresh")
    assert response.status_code == 503
    assert response.json()["detail"] == "the process that fetches champions ended"
    assert httpx.post(url + DECIDE, json=PLAIN).json()["tier"] == "model"


def test_refresh_of_a_folder_changes_nothing(tmp_path: Path) -> None:
    write_models(tmp_path)
    models = loader.load(sources.find_in_folder(tmp_path, NAMES), 1)
    with running(app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None)))) as port:
        write_policy(tmp_path / "policy", None, "creative-3")
        listed = httpx.post(f"http://127.0.0.1:{port}/v1/models/refresh").json()
    assert {model["model"]["name"]: model["model"]["digest"] for model in listed["models"]} == digests(models)
