"""Run `.ci/run` in a temporary repository with fake make and docker that record their calls."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"
WITH_ENGINE = ["check", "test", "image image-test parity"]
WITHOUT_ENGINE = ["check", "test", "parity RUNNERS=dvc process"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Create a clean repository with only the script."""
    repository = tmp_path / "repository"
    (repository / ".ci").mkdir(parents=True)
    (repository / ".ci" / "run").write_bytes(SCRIPT.read_bytes())
    for command in (["init"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "script"]):
        subprocess.run(["git", *command], cwd=repository, check=True, capture_output=True)
    return repository


def run(repository: Path, make: str = "", start: str | None = None) -> tuple[int, str, list[str]]:
    """Run the script; `docker info` succeeds if a file named engine exists next to the repository."""
    programs = repository.parent / "bin"
    programs.mkdir()
    for name, text in {"make": f'echo "$*" >>../calls; {make}', "docker": "test -e ../engine"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "CI": "true"}
    docker_start = {"ADLOOM_CI_DOCKER_HOST": start} if start else {}
    command = ["bash", str(repository / ".ci" / "run")]
    result = subprocess.run(command, env=variables | docker_start, capture_output=True, text=True, check=False)
    return result.returncode, result.stderr, (repository.parent / "calls").read_text().splitlines()


def test_run_without_an_engine_passes_and_reports_what_was_skipped(repository: Path) -> None:
    message = "ci: no Docker engine answers: no image was built or tested, and containers were not compared\n"
    assert run(repository) == (0, message, WITHOUT_ENGINE)


def test_an_engine_that_answers_is_used(repository: Path) -> None:
    (repository.parent / "engine").touch()
    assert run(repository) == (0, "", WITH_ENGINE)


def test_the_configured_command_starts_an_engine(repository: Path) -> None:
    assert run(repository, start="touch ../engine") == (0, "", WITH_ENGINE)


def test_a_required_engine_without_an_answer_fails(repository: Path) -> None:
    code, message, _ = run(repository, start="true")
    assert (code, message) == (1, "ci: ADLOOM_CI_DOCKER_HOST: no Docker engine answers after `true`\n")


def test_a_failing_command_fails_the_run(repository: Path) -> None:
    code, message, _ = run(repository, start="exit 3")
    assert (code, message) == (1, "ci: ADLOOM_CI_DOCKER_HOST: `exit 3` failed; correct it, or unset it\n")


@pytest.mark.parametrize("make", ["echo changed >>.ci/run", "touch left"])
def test_a_dirty_tree_fails_the_run(repository: Path, make: str) -> None:
    code, message, _ = run(repository, make)
    assert code == 1
    assert message.splitlines()[-1].startswith("ci: the checks or tests ")
