"""`adloom serve`: its applications, and what it needs to start."""

import logging
import os
from http import HTTPStatus
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import PROBLEM, post_ok

from adloom.config.settings import Settings
from adloom.errors import ArtifactError, ConfigError
from adloom.serving import app as decide_app
from adloom.serving import server
from adloom.serving.api import auth
from adloom.serving.api.auth import NoAuth
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import GENERATE, SEGMENT
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


EXAMPLES: dict[str, dict[str, object]] = {SEGMENT: {"users": ["1"]}, GENERATE: {"category": "Bag", "seed": 1}}


class TestApps:
    """The services that a cluster runs apart: each answers its own paths and knows of no other."""

    @pytest.mark.parametrize(("app", "own", "other"), [("decide", SEGMENT, GENERATE), ("creatives", GENERATE, SEGMENT)])
    def test_each_answers_its_own(self, models: Models, app: str, own: str, other: str) -> None:
        with TestClient(server.create_named_app(app, models, DEPENDENCIES), raise_server_exceptions=False) as client:
            assert post_ok(client, own, EXAMPLES[own])
            stranger = client.post(other, content=b"not even JSON")
            assert (stranger.status_code, stranger.headers["content-type"]) == (404, PROBLEM)
            assert own in stranger.json()["detail"]
            assert other not in stranger.json()["detail"]
            assert set(client.get("/openapi.json").json()["paths"]) & set(ENDPOINTS) == set(server.APPS[app].endpoints)

    def test_together_they_are_all(self) -> None:
        apart = [server.APPS["decide"], server.APPS["creatives"]]
        assert {path for app in apart for path in app.endpoints} == set(server.APPS["all"].endpoints)
        assert sorted(model for app in apart for model in app.models) == sorted(server.APPS["all"].models)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


class TestStart:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("BENTOML_DO_NOT_TRACK", "OTEL_SDK_DISABLED"):
            monkeypatch.setenv(name, os.environ.get(name, "true"))
        for name in ("ADLOOM_AUTH", "ADLOOM_TOKENS_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
    @pytest.mark.parametrize("app", ["decide", "all", "creatives"])
    def test_nobody_serves_without_saying_who_may_ask(self, tmp_path: Path, host: str, app: str) -> None:
        with pytest.raises(ConfigError, match="no tokens.*ADLOOM_TOKENS_FILE.*ADLOOM_AUTH=off"):
            server.serve(server.ServeOptions(app, tmp_path / "params.yaml", tmp_path), host, 0)

    def test_off_is_said_aloud(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        with caplog.at_level(logging.WARNING), pytest.raises(ArtifactError, match="no model to serve"):
            server.serve(server.ServeOptions("decide", tmp_path / "params.yaml", tmp_path), "127.0.0.1", 0)
        assert "ADLOOM_AUTH=off" in caplog.text

    def test_off_lets_anybody_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "off")
        anybody = auth.create_auth(Settings())
        assert isinstance(anybody, NoAuth)
        anybody.admit(None, {"admin"})

    def test_any_other_word_is_no_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_AUTH", "no")
        with pytest.raises(ConfigError, match="ADLOOM_AUTH"):
            Settings()

    def test_a_file_of_tokens_is_read_at_start(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADLOOM_TOKENS_FILE", str(path))
        with pytest.raises(ConfigError, match="No such file"):
            auth.create_auth(Settings())
        token = auth.add_token(path, "admin", ["admin"])
        built = auth.create_auth(Settings())
        built.admit(f"Bearer {token}".encode(), {"admin"})
        with pytest.raises(Problem) as raised:
            built.admit(f"Bearer {token}".encode(), {"decide"})
        assert raised.value.status == HTTPStatus.FORBIDDEN


def test_challengers_are_fetched_for_a_canary_unless_a_version_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    options = server.ServeOptions("creatives", Path("params.yaml"), pins={"gan": 3})
    assert options.champion_query().challengers == []
    monkeypatch.setenv("ADLOOM_CANARY_SHARE", "0.1")
    assert options.champion_query().challengers == ["lstm", "cnn"]
    assert server.ServeOptions("decide", Path("params.yaml")).champion_query().challengers == []
