"""Kubeflow Pipelines: a stand-in of its API that refuses, is old, or is not there."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.support import kfp_server
from tests.support.kfp_server import Answer, StandIn
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import kfp
from adloom.doctor.finding import Finding

TOKEN = "sentinel-of-a-token"
STATUS = json.dumps({"code": 7, "message": "PermissionDenied: User 'ann' is not authorized", "details": []})
HEALTHY = Answer(200, json.dumps({"tag_name": "2.17.0", "multi_user": False}))


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with kfp_server.serving() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACE", "TOKEN", "TOKEN_FILE", "CA", "ENDPOINT"):
        monkeypatch.delenv(f"ADLOOM_KFP_{name}", raising=False)
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)


def found(make_context: MakeContext, url: str, **variables: str) -> list[Finding]:
    return list(kfp.check(make_context(ADLOOM_KFP_ENDPOINT=url, ADLOOM_KFP_TOKEN=TOKEN, **variables)))


def test_a_server_that_lets_us_look_is_fine_and_nothing_is_changed(
    make_context: MakeContext, stand_in: StandIn
) -> None:
    stand_in.token = TOKEN
    one, two = found(make_context, stand_in.url)
    assert (one.name, two.name) == ("kfp-ok", "kfp-ok")
    assert one.found == f"Kubeflow Pipelines at {stand_in.url}: version 2.17.0, API v2beta1"
    assert two.found == "pipelines, experiments, runs can be listed"
    assert stand_in.changes == []


def test_a_namespace_is_looked_into(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.multi_user = True
    _, two = found(make_context, stand_in.url, ADLOOM_KFP_NAMESPACE="ann")
    assert two.found == "pipelines, experiments, runs of namespace ann can be listed"


def test_a_server_of_many_users_wants_a_namespace(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.multi_user = True
    _, told = found(make_context, stand_in.url)
    assert (told.name, told.next_step) == ("kfp-namespace", "set ADLOOM_KFP_NAMESPACE to your namespace")


def test_a_token_that_is_refused_is_told_and_never_shown(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.token = "another"
    (told,) = found(make_context, stand_in.url)
    assert told.name == "kfp-refused"
    assert told.next_step.startswith("set ADLOOM_KFP_TOKEN, or ADLOOM_KFP_TOKEN_FILE")
    assert TOKEN not in str(told)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_list_that_may_not_be_read_is_told(make_context: MakeContext, stand_in: StandIn, allowed: int) -> None:
    stand_in.answers.extend([HEALTHY, *[Answer(200, "{}")] * allowed, Answer(403, STATUS)])
    _, told = found(make_context, stand_in.url)
    assert told.name == "kfp-denied"
    assert "ask for a role that may, or check ADLOOM_KFP_NAMESPACE" in told.next_step


@pytest.mark.parametrize("version", ["2.13.0", "1.8.22", "v2.5.0-rc.1"])
def test_an_old_version_is_told(make_context: MakeContext, stand_in: StandIn, version: str) -> None:
    stand_in.version = version
    told, _ = found(make_context, stand_in.url)
    assert (told.name, told.next_step) == ("kfp-old", "upgrade the server")
    assert told.found.endswith(f"version {version}, expected 2.14 or later")


def test_an_api_of_before_is_told(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.answers.append(Answer(404, json.dumps({"code": 5, "message": "Not Found"})))
    (told,) = found(make_context, stand_in.url)
    assert told.name == "kfp-old"
    assert "has no API v2beta1" in told.found


def test_a_version_that_is_not_said_is_told(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.version = "unknown"
    told, _ = found(make_context, stand_in.url)
    assert (told.name, told.next_step) == ("kfp-version", "expected 2.14 or later")


@pytest.mark.parametrize("url", ["ml-pipeline:8888", "http://ann:sentinel-of-a-token@ml-pipeline"])
def test_what_is_no_address_is_told(make_context: MakeContext, url: str) -> None:
    (told,) = found(make_context, url)
    assert told.name == "kfp-address"
    assert "set ADLOOM_KFP_ENDPOINT" in told.next_step
    assert TOKEN not in str(told)


def test_a_page_for_people_is_told(make_context: MakeContext, stand_in: StandIn) -> None:
    stand_in.answers.append(Answer(302, "", {"location": "https://dex.example/auth"}))
    (told,) = found(make_context, stand_in.url)
    assert told.name == "kfp-address"
    assert "leads to https://dex.example/auth" in told.found


@pytest.mark.slow
def test_a_server_that_is_down_is_told(make_context: MakeContext) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        (told,) = found(make_context, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert told.name == "kfp-no-answer"
    assert told.next_step.startswith("is it running? Else set ADLOOM_KFP_ENDPOINT")


@pytest.mark.slow
def test_a_server_that_fails_is_told_in_its_words(make_context: MakeContext, stand_in: StandIn) -> None:
    failed = Answer(500, json.dumps({"code": 13, "message": "Internal: the database is gone"}))
    stand_in.answers.extend([HEALTHY, failed, failed, failed])
    _, told = found(make_context, stand_in.url)
    assert (told.name, "log" in told.next_step) == ("kfp-failed", True)
    assert "the database is gone" in told.found


def test_the_wait_for_a_silent_server_ends_in_time() -> None:
    timeouts = kfp.QUICK
    assert 3 * timeouts.read + 2 * timeouts.backoff + 2 * timeouts.retry_after <= 20


def test_without_an_address_or_a_client_it_is_not_asked(
    make_context: MakeContext, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = kfp.check(make_context())
    assert (told.name, told.found) == ("kfp-not-asked", "ADLOOM_KFP_ENDPOINT is not set")
    monkeypatch.setitem(sys.modules, "kfp_server_api", None)
    (told,) = found(make_context, stand_in.url)
    assert told.found == "its client is not installed here; pip install 'adloom[train]' brings it"
    assert stand_in.requests == []
