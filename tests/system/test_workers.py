"""`adloom serve` as a user calls it: who may ask, workers that are killed, champions that are followed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.tiny_models import write_audience, write_policy

from adloom import context
from adloom.config import params
from adloom.config.settings import Settings
from adloom.registry.base import CHAMPION
from adloom.serving.api import auth
from adloom.serving.api.decide_schemas import DECIDE
from adloom.storage import manifest

PLAIN = {"placement": "side", "candidates": ["creative-0", "creative-1"], "user_id": "1"}
PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, with an audience and a policy, and no word on who may ask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_audience(tmp_path / "models" / "audience")
    write_policy(tmp_path / "models" / "policy", manifest.digest(tmp_path / "models" / "audience"))
    return tmp_path


@pytest.fixture
def serve(place: Path) -> Iterator[Callable[..., "tuple[subprocess.Popen[str], str]"]]:
    """Start a service, and kill what a test left running."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> "tuple[subprocess.Popen[str], str]":
        command = [sys.executable, "-m", "adloom", "serve", "--app", "decide"]
        env = {**os.environ, "ADLOOM_AUTH": "off", **environment}
        env = {name: value for name, value in env.items() if value}
        process = subprocess.Popen(
            [*command, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        return process, line.split()[2].rstrip(";") if line else ""

    yield start
    for process in started:
        process.kill()
        process.communicate()


Serve = Callable[..., "tuple[subprocess.Popen[str], str]"]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def versions(url: str) -> dict[str, int | None]:
    return by_name(httpx.get(f"{url}/v1/models"))


def refreshed(url: str) -> dict[str, int | None]:
    """Let a service look for champions now; return the versions that it serves then."""
    return by_name(httpx.post(f"{url}/v1/models/refresh", timeout=60))


def by_name(response: httpx.Response) -> dict[str, int | None]:
    return {model["model"]["name"]: model["model"]["version"] for model in response.json()["models"]}


def test_without_a_word_on_who_may_ask_it_does_not_start(serve: Serve) -> None:
    process, url = serve("--models", "models", ADLOOM_AUTH="")
    assert url == ""
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    [line] = error.splitlines()
    assert line.startswith("adloom: ")
    assert "ADLOOM_AUTH" in line


def test_tokens_and_a_file_that_changes(serve: Serve, place: Path) -> None:
    token = auth.add_token(place / "tokens", "bidder", ["decide"])
    _, url = serve("--models", "models", ADLOOM_AUTH="", ADLOOM_TOKENS_FILE=str(place / "tokens"))

    def asked(token: str) -> int:
        return httpx.post(url + DECIDE, json=PLAIN, headers={"Authorization": f"Bearer {token}"}).status_code

    assert [asked(token), asked("wrong")] == [200, 401]
    other = auth.add_token(place / "tokens", "other", ["decide"])
    until(lambda: asked(other) == 200)
    assert asked(token) == 200


def test_a_worker_that_is_killed_is_replaced(serve: Serve) -> None:
    process, url = serve("--models", "models", "--workers", "2")
    workers = answering(process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(set(answering(process.pid)) - {workers[0]}) == 2)
    until(lambda: all(httpx.post(url + DECIDE, json=PLAIN).status_code == 200 for _ in range(10)))


def test_workers_do_not_outlive_a_parent_that_is_killed(serve: Serve) -> None:
    process, url = serve("--models", "models", "--workers", "2")
    workers = answering(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def answering(parent: int) -> list[int]:
    """The processes below a parent that were spawned to answer."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    lines = {
        child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children if Path(f"/proc/{child}").exists()
    }
    return [int(child) for child, line in lines.items() if b"spawn_main" in line]


class Promoting:
    """A registry of MLflow's, in a file, in which a test promotes policies."""

    def __init__(self, place: Path) -> None:
        shutil.copy(PARAMS, place)
        self.place = place
        self.registry: Any = context.build_context(Settings(), params.load(PARAMS).project).registry
        self.promote("audience", place / "models" / "audience")
        self.promote("policy", place / "models" / "policy")

    def policy(self, best: str) -> int:
        target = self.place / "made" / best
        target.parent.mkdir(exist_ok=True)
        write_policy(target, manifest.digest(self.place / "models" / "audience"), best)
        return self.promote("policy", target)

    def promote(self, model: str, folder: Path) -> int:
        version = self.registry.register(model, folder, {}).version
        self.registry.set_alias(model, CHAMPION, version, "a test")
        return int(version)


def test_champions_are_followed_and_pins_are_not(serve: Serve, place: Path) -> None:
    shop = Promoting(place)
    followed, url = serve("--follow", "champion", ADLOOM_FOLLOW_SECONDS="0.5")
    _, pinned = serve("--follow", "champion", "--pin", "policy=1")
    _, still = serve(ADLOOM_HOME=str(place / "empty"))  # without a cache it is ready after its only query
    assert versions(url) == versions(pinned) == versions(still) == {"audience": 1, "policy": 1}
    assert shop.policy("creative-1") == 2
    until(lambda: versions(url)["policy"] == 2)
    assert httpx.post(url + DECIDE, json=PLAIN).json()["policy"]["version"] == 2
    assert versions(still)["policy"] == 1
    assert refreshed(still) == {"audience": 1, "policy": 2}
    assert refreshed(pinned) == {"audience": 1, "policy": 1}
    (place / "mlflow.db").rename(place / "gone.db")
    (place / "mlartifacts").rename(place / "gone")
    assert httpx.post(f"{url}/v1/models/refresh", timeout=60).status_code == 200
    assert httpx.post(url + DECIDE, json=PLAIN).json()["policy"]["version"] == 2
    followed.send_signal(signal.SIGTERM)
    followed.communicate(timeout=60)


def test_workers_follow_too(serve: Serve, place: Path) -> None:
    shop = Promoting(place)
    _, url = serve("--follow", "champion", "--workers", "2", ADLOOM_FOLLOW_SECONDS="0.5")
    assert shop.policy("creative-1") == 2
    until(lambda: all(httpx.post(url + DECIDE, json=PLAIN).json()["policy"]["version"] == 2 for _ in range(20)))


def test_without_any_champion_it_answers_all_the_same(serve: Serve, place: Path) -> None:
    shutil.copy(PARAMS, place)
    _, url = serve("--follow", "champion", ADLOOM_FOLLOW_SECONDS="0.5")
    assert httpx.get(f"{url}/readyz").json()["sources"] == {"audience": "none", "policy": "none", "recommender": "none"}
    assert httpx.post(url + DECIDE, json=PLAIN).json()["tier"] == "default"
    shop = Promoting(place)
    until(lambda: versions(url) == {"audience": 1, "policy": 1})
    assert shop.policy("creative-3") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", "models", "--follow", "champion"], "--models: cannot be combined with"),
        (["--pin", "policy"], "--pin policy: expected MODEL=VERSION"),
        (["--pin", "gan=1"], "--pin gan: expected one of audience, recommender, policy"),
    ],
)
def test_what_does_not_go_together_is_said(serve: Serve, arguments: list[str], said: str) -> None:
    process, _ = serve(*arguments)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in error
