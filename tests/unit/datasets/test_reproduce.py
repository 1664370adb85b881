"""Reproduction: comparisons on the same and on another type of CPU, and runs that cannot be repeated."""

import os
import subprocess
from pathlib import Path

import pytest

from adloom.config.base import ConfigModel
from adloom.config.settings import Settings
from adloom.datasets import reproduce as verb
from adloom.datasets import run_record
from adloom.datasets.run_record import RunRecord
from adloom.errors import ConfigError
from adloom.evaluation.metric import Metric, metrics_to_json
from adloom.storage import manifest


def write(folder: Path, accuracy: float = 0.9) -> None:
    """Write a model and its report."""
    for name in ("models/cnn", "reports/cnn"):
        with manifest.draft(folder / name, "test", ConfigModel(), {}) as draft:
            metrics = {"accuracy": Metric(accuracy, 0.85, 0.95, 100, "share"), "copies": Metric(2, 2, 2, 9, "count")}
            (draft.path / "metrics.json").write_text(metrics_to_json(metrics))


@pytest.fixture
def original(tmp_path: Path) -> RunRecord:
    write(tmp_path / "then")
    return run_record.build_record({"project": "shop"}, {}, "d1", tmp_path / "then", Settings(git_commit="abc"))


@pytest.fixture
def elsewhere(original: RunRecord) -> RunRecord:
    """The same record from another type of CPU."""
    cpu = original.machine.cpu.model_copy(update={"model": "another", "flags": ("sve",)})
    return original.model_copy(update={"machine": original.machine.model_copy(update={"cpu": cpu})})


def test_on_the_same_cpu_every_digest_must_be_equal(original: RunRecord, tmp_path: Path) -> None:
    write(tmp_path / "now")
    assert [(row.name, row.equal) for row in verb.compare(original, tmp_path / "now")] == [
        ("models/cnn", True),
        ("reports/cnn", True),
    ]
    write(tmp_path / "now", accuracy=0.9000001)
    assert [row.equal for row in verb.compare(original, tmp_path / "now")] == [False, False]


def test_on_another_cpu_every_metric_must_be_in_its_interval(elsewhere: RunRecord, tmp_path: Path) -> None:
    write(tmp_path / "now", accuracy=0.86)
    rows = list(verb.compare(elsewhere, tmp_path / "now"))
    assert [(row.name, row.equal) for row in rows] == [("cnn accuracy", True), ("cnn copies", True)]
    assert (rows[0].recorded, rows[0].here) == ("0.9 (0.85 … 0.95)", "0.86")
    write(tmp_path / "now", accuracy=0.8)
    assert [row.equal for row in verb.compare(elsewhere, tmp_path / "now")] == [False, True]


def test_data_is_compared_by_digest_on_every_cpu(elsewhere: RunRecord, tmp_path: Path) -> None:
    write(tmp_path / "now")
    with_data = elsewhere.model_copy(update={"artifacts": {**elsewhere.artifacts, "data/dataset/copy": "0" * 64}})
    first = next(iter(verb.compare(with_data, tmp_path / "now")))
    assert (first.name, first.here, first.equal) == ("data/dataset/copy", "absent", False)


def test_a_missing_artifact_differs(original: RunRecord, elsewhere: RunRecord, tmp_path: Path) -> None:
    for changed_record in (original, elsewhere):
        assert {(row.here, row.equal) for row in verb.compare(changed_record, tmp_path / "nothing")} == {
            ("absent", False)
        }


def test_with_another_blas_kernel_metrics_are_compared_and_the_variable_is_named(
    original: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = original.machine.model_copy(update={"environment": {"OPENBLAS_CORETYPE": "Haswell"}})
    there = original.model_copy(update={"machine": machine})
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    write(tmp_path / "now")
    assert [row.name for row in verb.compare(there, tmp_path / "now")] == ["cnn accuracy", "cnn copies"]
    assert "OPENBLAS_CORETYPE Haswell, here Zen" in verb.describe_differences(there)


def test_differences_of_the_machine_are_named(original: RunRecord, elsewhere: RunRecord) -> None:
    assert verb.describe_differences(original) == []
    older = original.machine.model_copy(update={"packages": {**original.machine.packages, "torch": "1.0"}})
    assert any(
        line.startswith("torch 1.0, here ")
        for line in verb.describe_differences(original.model_copy(update={"machine": older}))
    )
    assert any(line.startswith("CPU another, here ") for line in verb.describe_differences(elsewhere))


def repeat(original: RunRecord, folder: Path) -> None:
    verb.reproduce("r1", original, Settings(home=folder / ".adloom", quiet=True), None)


def test_outside_of_a_repository_the_version_must_be_the_same(
    original: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = original.model_copy(update={"machine": original.machine.model_copy(update={"adloom": "9.9"})})
    with pytest.raises(ConfigError, match=r"run r1: .* adloom 9.9, .*; `pip install adloom==9.9`"):
        repeat(other, tmp_path)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, which is the working folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run([*git, *arguments], check=True)
    return folder


@pytest.mark.parametrize(
    ("commit", "expected"),
    [
        ("c0ffee" * 6 + "c0ff-dirty", "its code was never committed (c0ffee"),
        ("c0ffee" * 6 + "c0ff", "is not in "),
    ],
)
def test_missing_code_is_named(repository: Path, original: RunRecord, commit: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        repeat(original.model_copy(update={"git_commit": commit}), repository)
    assert expected in str(caught.value)
    assert list(repository.iterdir()) == [repository / ".git"]


def test_a_folder_in_use_is_kept(repository: Path, original: RunRecord) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    (repository / "taken").mkdir()
    (repository / "taken" / "file").touch()
    changed_record = original.model_copy(update={"git_commit": head})
    with pytest.raises(ConfigError, match=r"taken: not empty, .* --into"):
        verb.reproduce("r1", changed_record, Settings(), Path("taken"))
    assert [path.name for path in (repository / "taken").iterdir()] == ["file"]


def test_a_checkout_of_the_user_is_never_overwritten(repository: Path, original: RunRecord, tmp_path: Path) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tmp_path / "other")], check=True)
    changed_record = original.model_copy(update={"git_commit": head})
    for own, expected in ((repository, "repository, .* --into"), (tmp_path / "other", "not empty, .* --into")):
        (own / "params.yaml").write_text("mine")
        with pytest.raises(ConfigError, match=expected):
            verb.reproduce("r1", changed_record, Settings(), Path(os.path.relpath(own)))
        assert (own / "params.yaml").read_text() == "mine"
        assert {path.name for path in own.iterdir()} == {".git", "params.yaml"}
