"""
Repeat a run from its record in a separate folder, and compare the results.

Digests are compared; on another type of CPU, metrics. Nothing is registered.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from adloom.config.settings import Settings
from adloom.config.yaml_reader import TAG
from adloom.context import build_context
from adloom.datasets import dataset, project, pull, run_record, workspace
from adloom.datasets.dvc_remote import open_remote
from adloom.datasets.run_record import ARTIFACTS, RunRecord
from adloom.errors import AdloomError, ArtifactError, ConfigError
from adloom.evaluation.metric import Metric
from adloom.registry import champion_copy, pairing
from adloom.stages import segment_identity
from adloom.storage import manifest
from adloom.tracking.provenance import DIRTY, run_git

MARK = Path(".adloom") / run_record.NAME  # the record of the run that a folder repeats
TOLERANCE = 0.01  # of a value, beyond its interval: another CPU adds numbers in another order
SHOWN_DIGITS = 12  # of a digest


@dataclass(frozen=True)
class Comparison:
    """A recorded result and the one of this machine."""

    name: str
    recorded: str
    here: str
    equal: bool


@dataclass(frozen=True)
class Checkout:
    """The folder in which a run is repeated."""

    root: Path  # of the worktree, or the folder itself
    project: Path  # of dvc.yaml
    is_worktree: bool


def reproduce(run_id: str, record: RunRecord, settings: Settings, into: Path | None) -> list[Comparison]:
    """
    Repeat a run, or continue an interrupted reproduction, and compare its results.

    Raises ConfigError when the run's code is not available or the folder is in use; AdloomError when a stage fails.
    Deletes the folder when all results are equal, unless `into` names it.
    """
    root = (into or settings.home / "reproduce" / run_id).resolve()
    if into:
        _require_unused(root)
    checkout = _check_out(run_id, record, root)
    with workspace.lock_workspace(checkout.project / ".adloom", checkout.project):
        _write_inputs(run_id, record, checkout)
        _pull_dataset(record, checkout, settings)
        _fetch_champion(record, checkout, settings)
        if not workspace.run_stages("--no-run-cache", folder=checkout.project, **_environment(checkout)):
            raise AdloomError(f"run {run_id}: dvc repro failed in {checkout.project}; the same command continues there")
        comparisons = list(compare(record, checkout.project))
    if into is None and all(comparison.equal for comparison in comparisons):
        if checkout.is_worktree:
            run_git("worktree", "remove", "--force", str(checkout.root))
        shutil.rmtree(checkout.root, ignore_errors=True)
    return comparisons


def compare(record: RunRecord, folder: Path) -> Iterator[Comparison]:
    """Compare a record with the artifacts in a folder."""
    there, here = record.machine, run_record.read_machine()
    same = (there.cpu, there.environment) == (here.cpu, here.environment)
    for name in (name for name in ARTIFACTS if name in record.artifacts):
        if same or name.startswith("data/"):
            path, recorded = folder / name, record.artifacts[name]
            actual = manifest.digest(path) if (path / manifest.MANIFEST).is_file() else "absent"
            yield Comparison(name, recorded[:SHOWN_DIGITS], actual[:SHOWN_DIGITS], actual == recorded)
    if not same:
        for model, metrics in record.metrics.items():
            actual_metrics = run_record.read_report_metrics(folder / "reports" / model)
            for name, metric in metrics.items():
                yield _compare_metric(f"{model} {name}", metric, actual_metrics.get(name))


def describe_differences(record: RunRecord) -> list[str]:
    """Return how this machine differs from the one of a record."""
    then, now = record.machine, run_record.read_machine()
    before, after = then.packages | then.environment, now.packages | now.environment
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    pairs |= {"CPU": (then.cpu.model, now.cpu.model), "Python": (then.python, now.python)}
    if then.cpu.model == now.cpu.model:
        pairs["CPU"] = (" ".join(then.cpu.flags), " ".join(now.cpu.flags))
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [f"{name} {one or 'none'}, here {other or 'none'}" for name, (one, other) in changed.items()]


def _check_out(run_id: str, record: RunRecord, root: Path) -> Checkout:
    """Return a worktree of the commit; outside of a repository, a folder for the installed adloom."""
    top = next(iter(run_git("rev-parse", "--show-toplevel")), None)
    if top is None or record.git_commit is None:
        _require_version(run_id, record)
        return Checkout(root, root, is_worktree=False)
    if record.git_commit.endswith(DIRTY):
        raise ConfigError(f"run {run_id}: its code was never committed ({record.git_commit}), so it is not available")
    if not run_git("rev-parse", "--verify", "--quiet", f"{record.git_commit}^{{commit}}"):
        raise ConfigError(
            f"run {run_id}: commit {record.git_commit} is not in {top}; `git fetch`, "
            f"or run this outside of a repository with adloom {record.machine.adloom} installed"
        )
    if not (root / ".git").exists():
        _add_worktree(root, record.git_commit)
    if run_git("rev-parse", "HEAD", folder=root) != [record.git_commit]:
        raise ConfigError(f"{root}: not a worktree at {record.git_commit}; name another with --into")
    if not (root / "src" / "adloom").is_dir():
        _require_version(run_id, record)
    return Checkout(root, root / _find_prefix(), is_worktree=True)


def _require_unused(root: Path) -> None:
    """Raise ConfigError when files of the user would be overwritten."""
    if [str(root)] == run_git("rev-parse", "--show-toplevel"):
        raise ConfigError(f"{root}: this repository, which would be overwritten; name another with --into")
    is_resumed = (root / _find_prefix() / MARK).is_file()
    if root.is_dir() and not is_resumed and any(path.name != MARK.parent.name for path in root.iterdir()):
        raise ConfigError(f"{root}: not empty, and not of an interrupted reproduction; name a new folder with --into")


def _find_prefix() -> str:
    """Return the path of the working folder in its repository."""
    return next(iter(run_git("rev-parse", "--show-prefix")), "")


def _require_version(run_id: str, record: RunRecord) -> None:
    installed, recorded = run_record.read_machine().adloom, record.machine.adloom
    if recorded != installed:
        raise ConfigError(
            f"run {run_id}: recorded by adloom {recorded}, installed is {installed}; "
            f"`pip install adloom=={recorded}`, or run this in the repository of its code"
        )


def _add_worktree(root: Path, commit: str) -> None:
    command = ["git", "worktree", "add", "--quiet", "--force", "--detach", str(root), commit]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if process.returncode != 0:
        raise AdloomError(f"{root}: no worktree: {process.stderr.strip()}; name another folder with --into")


class _QuotingDumper(yaml.SafeDumper):
    """Quote texts, which YAML 1.1 and 1.2 then read alike."""


_QuotingDumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(f"{TAG}str", text, style='"'))


def _write_inputs(run_id: str, record: RunRecord, checkout: Checkout) -> None:
    """Write params and record unless they exist. Raises ConfigError when the folder is of another run."""
    mark = checkout.project / MARK
    if mark.is_file():
        if mark.read_bytes() != record.to_bytes():
            raise ConfigError(f"{checkout.root}: the folder of another run; name another with --into")
        return
    if not checkout.is_worktree:
        project.init_project(checkout.project)
    (checkout.project / "dvc.lock").unlink(missing_ok=True)  # of other runs
    text = yaml.dump(record.params, Dumper=_QuotingDumper, allow_unicode=True, sort_keys=False)
    (checkout.project / "params.yaml").write_text(f"# of run {run_id}\n{text}", encoding="utf-8")
    mark.write_bytes(record.to_bytes())


def _fetch_champion(record: RunRecord, checkout: Checkout, settings: Settings) -> None:
    """Fetch the audience with the segment ids that the run kept. Raises ArtifactError if it is not registered."""
    registry = build_context(settings, record.project).registry
    champion_copy.copy_version(registry, pairing.AUDIENCE, record.champion, checkout.project / segment_identity.FOLDER)


def _environment(checkout: Checkout) -> dict[str, str]:
    """Return variables that isolate the run."""
    source = checkout.root / "src"
    return {
        "ADLOOM_HOME": str(checkout.project / ".adloom"),
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "MLFLOW_RUN_ID": "",
        "KFP_RUN_ID": "",
        **({"PYTHONPATH": str(source)} if (source / "adloom").is_dir() else {}),
    }


def _pull_dataset(record: RunRecord, checkout: Checkout, settings: Settings) -> None:
    """Pull the dataset from the remote, or from the working folder if it is the same."""
    local_remote, folders = checkout.project / ".adloom" / "remote", dataset.table_folders(dataset.FOLDER)
    remote = open_remote(settings.model_copy(update={"dvc_remote": str(local_remote)}))
    try:
        is_local = dataset.compute_digest(record.project, folders) == record.dataset
    except ArtifactError:
        is_local = False
    if is_local:
        dataset.push(record.project, folders, remote)
    else:
        remote = open_remote(settings)
    pulled = dataset.find_dataset(record.dataset, record.project, remote)
    pull.pull_dataset(pulled, None, remote, checkout.project, force=True)
    shutil.rmtree(local_remote, ignore_errors=True)


def _compare_metric(name: str, recorded: Metric, actual: Metric | None) -> Comparison:
    margin = TOLERANCE * abs(recorded.value)
    is_equal = actual is not None and recorded.low - margin <= actual.value <= recorded.high + margin
    shown = f"{actual.value:.4g}" if actual else "absent"
    return Comparison(name, f"{recorded.value:.4g} ({recorded.low:.4g} … {recorded.high:.4g})", shown, is_equal)
