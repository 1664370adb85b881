"""Docker: a client in a folder of its own on PATH, which answers or does not."""

from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import docker
from adloom.doctor.finding import Kind


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a client is looked for first; nothing is there yet."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin" / "docker"


def write(client: Path, script: str) -> None:
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(0o755)


def test_an_engine_that_answers_is_told_by_its_version(make_context: MakeContext, client: Path) -> None:
    write(client, '[ "$*" = "version --format {{.Server.Version}}" ] && echo 29.1.0')
    assert list(docker.check(make_context())) == [Kind.DOCKER_OK("engine 29.1.0 answers")]


def test_no_client_is_no_more_than_a_warning(make_context: MakeContext, client: Path) -> None:
    (found,) = docker.check(make_context())
    assert (found.name, found.next_step) == ("docker-absent", "install Docker to build images here")


def test_a_client_without_an_engine_is_told_in_its_words(make_context: MakeContext, client: Path) -> None:
    write(client, "echo; echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    (found,) = docker.check(make_context())
    assert found.name == "docker-no-engine"
    assert found.found == "no engine answers: Cannot connect to the Docker daemon"
    assert "DOCKER_HOST" in found.next_step


def test_an_engine_that_is_silent_is_given_up(
    make_context: MakeContext, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "SECONDS", 0.2)
    write(client, "exec /bin/sleep 60")
    (found,) = docker.check(make_context())
    assert found.found == "no engine answers: no answer in 0.2 s"


def test_in_a_pod_it_is_not_asked(make_context: MakeContext, client: Path) -> None:
    (found,) = docker.check(make_context(KUBERNETES_SERVICE_HOST="10.0.0.1"))
    assert found.name == "docker-not-asked"
