"""Services that start and end while MLflow is away or sends endless answers, or before there is a champion."""

import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import seaweedfs
from tests.support.decide_server import REQUEST_BODY, Connection, DecideServer, run_decide_server
from tests.support.decision_logs import wait_until
from tests.support.seaweedfs import Server
from tests.support.tiny_models import write_audience, write_generator, write_policy

from adloom.config.settings import Settings
from adloom.registry.base import CHAMPION
from adloom.registry.mlflow import MlflowRegistry
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.remote_bundles import open_remote_bundles
from adloom.storage import manifest

PARAMS = Path(__file__).parents[2] / "src" / "adloom" / "starter" / "params.yaml"
FOLLOW = ["--follow", "champion"]
SOURCES = {"audience": "cache", "policy": "cache", "recommender": "none"}
QUICK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "ADLOOM_FOLLOW_SECONDS": "0.2"}


@contextmanager
def dripping() -> Iterator[str]:
    """Yield the address of a server that answers each request with a byte a second, without end."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
            while not over.wait(1):
                connection.sendall(b" ")

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder with a bundle cache that holds the last champions of another pod."""
    shutil.copy(PARAMS, tmp_path / "params.yaml")
    write_audience(tmp_path / "models" / "audience")
    write_policy(tmp_path / "models" / "policy", manifest.digest(tmp_path / "models" / "audience"))
    cache = BundleCache(tmp_path / "volume")
    for model in ("audience", "policy"):
        artifact = tmp_path / "models" / model
        digest = manifest.digest(artifact)
        cache.add(digest, lambda folder, artifact=artifact: Path(shutil.copytree(artifact, folder)))  # type: ignore[misc]
        cache.save_champion(model, Champion(3, digest))
    return tmp_path


def environment(uri: str, **others: str) -> dict[str, str]:
    return {"ADLOOM_AUTH": "off", "MLFLOW_TRACKING_URI": uri, **QUICK, **others}


def readiness(server: DecideServer) -> tuple[int, Any]:
    response = httpx.get(f"{server.url}/readyz")
    return response.status_code, response.json()


def tier(server: DecideServer) -> str:
    with Connection(server.url) as connection:
        return str(connection.ask(REQUEST_BODY).body["tier"])


def test_with_a_dripping_registry_the_cache_serves_and_sigterm_ends_it(place: Path) -> None:
    volume = str(place / "volume")
    with dripping() as uri, run_decide_server(place, FOLLOW, environment(uri, ADLOOM_BUNDLE_CACHE=volume)) as server:
        assert readiness(server) == (
            200,
            {"ready": True, "models": ["audience", "policy"], "sources": SOURCES},
        )
        assert tier(server) == "model"
        listed = httpx.get(f"{server.url}/v1/models").json()["models"]
        assert [(model["source"], model["model"]["version"]) for model in listed] == [("cache", 3), ("cache", 3)]
        assert server.end() == -signal.SIGTERM  # while the registry is asked


def test_no_answer_is_not_no_champion(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with run_decide_server(place, FOLLOW, environment(uri)) as server:  # with a cache that is empty
        status, problem = readiness(server)
        assert (status, "policy: the registry has not answered" in problem["detail"]) == (503, True)
        assert tier(server) == "default"
        shutil.copytree(place / "volume", place / ".adloom" / "bundles", dirs_exist_ok=True)
        wait_until(lambda: readiness(server)[0] == 200)
        assert tier(server) == "model"


def test_a_pod_without_a_volume_serves_the_champions_in_s3(
    place: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweedfs.visit(server, monkeypatch)
    monkeypatch.setenv("ADLOOM_BUNDLE_URI", f"s3://{seaweedfs.BUCKET}/bundles")
    volume, remote = BundleCache(place / "volume"), open_remote_bundles(Settings(), "demo")
    assert remote
    for model in ("audience", "policy"):
        champion = volume.load_champion(model)
        assert champion
        remote.save(model, champion, volume.folder / champion.digest)
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    variables = environment(uri, ADLOOM_BUNDLE_URI=remote.uri.removesuffix("/demo"), **server.environment())
    with run_decide_server(place, FOLLOW, variables) as service:
        assert readiness(service)[1]["sources"] == SOURCES
        assert tier(service) == "model"


def test_a_service_that_follows_waits_for_its_first_champion(place: Path) -> None:
    uri = f"sqlite:///{place}/mlflow.db"
    registry = MlflowRegistry(uri, "demo")
    write_generator(place / "models" / "gan")
    version = registry.register("gan", place / "models" / "gan", {}).version
    with run_decide_server(place, [*FOLLOW, "--app", "creatives"], environment(uri)) as server:
        status, problem = readiness(server)
        assert (status, "gan: it has no champion" in problem["detail"]) == (503, True)
        registry.set_alias("gan", CHAMPION, version, "for a test")
        wait_until(lambda: readiness(server)[0] == 200)
        others = dict.fromkeys(("cnn", "lstm", "style", "music"), "none")
        assert readiness(server)[1]["sources"] == {"gan": "registry"} | others
