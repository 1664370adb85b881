"""Provenance: the commit of a run, which the files of its record do not make dirty."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from adloom.config.settings import Settings
from adloom.tracking import provenance

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Git in a repository with params.yaml and code, which is the working folder."""

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.check_output(["git", *identity, *arguments], cwd=tmp_path, text=True).strip()

    monkeypatch.chdir(tmp_path)
    run("init", "--quiet")
    for name in ("params.yaml", "dvc.lock", "code.py"):
        (tmp_path / name).write_text("before")
    run("add", ".")
    run("commit", "--quiet", "--message", "first")
    return run


def test_what_a_record_holds_itself_does_not_make_its_commit_dirty(git: Git, tmp_path: Path) -> None:
    commit = git("rev-parse", "HEAD")
    assert provenance.find_commit(Settings()) == commit
    for name in ("params.yaml", "dvc.lock"):
        (tmp_path / name).write_text("after")
    assert provenance.read_tags(Settings())["git_commit"] == f"{commit}-dirty"
    assert provenance.find_commit(Settings()) == commit
    (tmp_path / "code.py").write_text("after")
    assert provenance.find_commit(Settings()) == f"{commit}-dirty"


def test_what_an_image_says_of_its_code_is_left_as_it_is(git: Git) -> None:
    assert provenance.find_commit(Settings(git_commit="c0ffee-dirty")) == "c0ffee-dirty"
    assert git("status", "--porcelain") == ""  # the folder it runs in is clean, which says nothing of the image


def test_a_file_named_as_what_is_recorded_is_code_when_it_lies_elsewhere(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "params.yaml").write_text("before")
    git("add", ".")
    git("commit", "--quiet", "--message", "second")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "shop" / "params.yaml").write_text("after")
    assert provenance.find_commit(Settings()) == f"{commit}-dirty"
    monkeypatch.chdir(tmp_path / "shop")
    assert provenance.find_commit(Settings()) == commit


def test_without_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.find_commit(Settings()) is None
    assert provenance.read_tags(Settings(image_digest="sha256:1")) == {"image_digest": "sha256:1"}
