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
PLAIN = {"placement": "side", "candidates": ["creative-0", "creative-1"], "user_id": "1"}


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


def following(shop: Shop, **changes: object) -> ModelRefresher:
    follower = ModelRefresher(shop.find, 1, save_champion=shop.note, **changes)  # type: ignore[arg-type]
    follower.refresh()
    return follower


def digests(models: Models) -> dict[str, str]:
    return {name: bundle.origin.digest for name, bundle in models.loaded.items()}


def test_a_new_champion_is_served_and_what_is_the_same_is_not_opened_again(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    follower = following(shop)
    assert digests(follower.models) == {"audience": audience, "policy": first}
    kept = follower.models.loaded["audience"]
    second = shop.policy(audience, "creative-1")
    look = follower.refresh()
    assert digests(look.models) == {"audience": audience, "policy": second}
    assert look.swapped == ("policy",)
    assert look.models.loaded["audience"] is kept
    assert follower.refresh().swapped == ()


def _break(folder: Path) -> None:
    (folder / "policy.npz").write_bytes(b"broken")


def _rebreak(folder: Path) -> None:
    """Broken before it was registered: its manifest says that these bytes are right."""
    shutil.rmtree(folder)
    from tests.support.tiny_models import PARAMS

    with manifest.draft(folder, "by hand", PARAMS, {}) as made:
        (made.path / "policy.npz").write_bytes(b"PK")
        (made.path / "card.json").write_text("{}")


def test_a_bad_bundle_is_refused_and_told_once_and_the_old_one_serves_on(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    follower = following(shop)
    shop.policy(audience, "creative-1", _break)
    look = follower.refresh()
    assert digests(look.models)["policy"] == first
    assert look.newly_failed == ("policy",)
    assert "its digest is not" in look.refused["policy"]
    again = follower.refresh()
    assert (again.newly_failed, again.refused) == ((), look.refused)
    assert caplog.text.count("the old version keeps serving") == 1
    good = shop.policy(audience, "creative-2")
    assert digests(follower.refresh().models)["policy"] == good


def test_a_bundle_that_does_not_open_is_refused(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    before = replace_models(NO_MODELS, shop.find(), 1).models
    broken = shop.folder / "broken"
    write_policy(broken, audience)
    _rebreak(broken)
    found = {**shop.find(), "policy": sources.ModelArtifact(broken, 9)}
    look = replace_models(before, found, 1)
    assert digests(look.models)["policy"] == first
    assert "expected an npz with" in look.refused["policy"]


def test_policy_and_audience_change_as_a_pair(shop: Shop) -> None:
    old = shop.audience()
    first = shop.policy(old)
    follower = following(shop)
    new = shop.audience(b"another key of the shop")
    look = follower.refresh()  # the audience moved, the policy did not yet
    assert digests(look.models) == {"audience": old, "policy": first}
    assert look.refused.keys() == {"audience"}
    second = shop.policy(new)
    look = follower.refresh()
    assert digests(look.models) == {"audience": new, "policy": second}
    assert set(look.swapped) == {"audience", "policy"}


def test_a_policy_that_is_ahead_of_its_audience_waits(shop: Shop) -> None:
    old = shop.audience()
    first = shop.policy(old)
    follower = following(shop)
    shop.policy("f" * 64)
    look = follower.refresh()
    assert digests(look.models) == {"audience": old, "policy": first}
    assert look.refused.keys() == {"policy"}


def test_the_first_policy_comes_while_serving(shop: Shop) -> None:
    audience = shop.audience()
    follower = following(shop)
    assert "no champion" in follower.models.absent["policy"]
    policy = shop.policy(audience)
    look = follower.refresh()
    assert digests(look.models) == {"audience": audience, "policy": policy}
    assert look.models.absent == {}


def test_a_registry_that_goes_away_changes_nothing(shop: Shop) -> None:
    audience = shop.audience()
    policy = shop.policy(audience)
    follower = following(shop)
    shop.away = True
    look = follower.refresh()
    assert (digests(look.models), look.swapped, look.refused) == ({"audience": audience, "policy": policy}, (), {})


def test_an_alias_that_is_taken_away_leaves_what_serves(shop: Shop) -> None:
    audience = shop.audience()
    before = loader.load({**shop.find(), "policy": UnavailableModel("it has no champion")}, 1)
    look = replace_models(
        before,
        {"audience": UnavailableModel("it has no champion"), "policy": UnavailableModel("it has no champion")},
        1,
    )
    assert digests(look.models) == {"audience": audience}
    assert look.refused == {"audience": "it has no champion"}


def test_pinned_versions_stay(shop: Shop) -> None:
    audience = shop.audience()
    first = shop.policy(audience)
    shop.policy(audience, "creative-1")
    find = partial(sources.find_champions, shop.registry, shop.cache, NAMES, {"policy": 1})
    follower = ModelRefresher(
        find,
        1,
        save_champion=lambda model, *said: shop.cache.save_champion(
            sources.champion_key(model, {"policy": 1}), Champion(*said)
        ),
    )
    follower.refresh()
    assert digests(follower.models)["policy"] == first
    shop.policy(audience, "creative-2")
    assert digests(follower.refresh().models)["policy"] == first
    assert shop.find()["policy"] == sources.ModelArtifact(
        shop.cache.folder / manifest.digest(shop.folder / "policy-3"), 3, "registry"
    )
    remembered = sources.find_in_cache(shop.cache, NAMES, {"policy": 1})["policy"]
    assert remembered == sources.ModelArtifact(shop.cache.folder / first, 1, "cache")
    gone = sources.find_champions(shop.registry, shop.cache, NAMES, {"policy": 9})["policy"]
    assert gone == UnavailableModel("version 9 is not registered; `adloom models` lists those that are")


class TestThread:
    """The thread that looks by itself."""

    @pytest.fixture
    def looked(self) -> "tuple[threading.Event, list[RefreshResult]]":
        return threading.Event(), []

    def start(self, shop: Shop, follower: ModelRefresher, seen: list[RefreshResult], event: threading.Event) -> None:
        def publish(look: RefreshResult) -> None:
            seen.append(look)
            event.set()

        follower.publish = publish
        follower.start(sources.find_in_cache(shop.cache, NAMES))

    def test_it_looks_again_and_again_whatever_a_look_meets(self, shop: Shop) -> None:
        audience = shop.audience()
        follower = following(shop, interval=0.01)
        find, calls, done = follower.find, [0], threading.Event()

        def sometimes() -> Sources:
            calls[0] += 1
            if calls[0] == 1:
                raise ExternalServiceError("away")
            if calls[0] == 2:
                raise RuntimeError("unforeseen")
            done.set()
            return find()

        follower.find = sometimes
        self.start(shop, follower, [], threading.Event())
        assert done.wait(10)
        follower.close()
        assert digests(follower.models) == {"audience": audience}

    def test_of_two_one_asks_and_the_other_sees_what_it_left(
        self, shop: Shop, looked: "tuple[threading.Event, list[RefreshResult]]"
    ) -> None:
        audience = shop.audience()
        policy = shop.policy(audience)
        find_noted = partial(sources.find_in_cache, shop.cache, NAMES)
        notes = SharedChampions(find_noted, partial(shop.cache.hash_champions, NAMES), shop.folder / "lock")
        leads = following(shop, interval=0.05, shared=notes)
        asked: list[str] = []

        def never() -> Sources:
            asked.append("the registry")
            return shop.find()

        follows = following(shop, interval=0.05, shared=notes)
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
    follower = following(shop)
    dependencies = app.ServiceDependencies(PseudonymKeys(None), log=MemoryLog(), refresher=follower)
    return app.Service(follower.models, dependencies, app.DECIDE_ENDPOINTS)


@pytest.fixture
def url(service: app.Service) -> Iterator[str]:
    with running(app.with_middleware(service)) as port:
        yield f"http://127.0.0.1:{port}"


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


def test_refresh_says_why_it_cannot_look(service: app.Service, url: str) -> None:
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
