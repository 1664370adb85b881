"""
`adloom reproduce`: make a run again from its record, in a folder of its own, and compare what came out.

The code is the run's commit, the data its dataset, the params its own. On a CPU of the same type every digest is
compared, on another every metric. Nothing is registered; MLflow is only read.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from adloom.config.settings import Settings
from adloom.datasets import dataset, dvc_remote, project, pull, run_record, workspace
from adloom.datasets.run_record import ARTIFACTS, RunRecord
from adloom.errors import AdloomError, ArtifactError, ConfigError
from adloom.evaluation.metric import Metric
from adloom.storage import manifest
from adloom.tracking.provenance import DIRTY, run_git

MARK = Path(".adloom") / run_record.NAME  # in a folder where a run is made again: which
TOLERANCE = 0.01  # of a number, beyond its interval: on another CPU a sum is made in another order
LENGTH = 12  # of a digest, where it is shown


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared."""

    name: str
    recorded: str
    here: str
    equal: bool


@dataclass(frozen=True)
class Checkout:
    """Where a run is made again."""

    root: Path  # of the worktree, or the folder itself
    project: Path  # where dvc.yaml lies
    tree: bool  # a git worktree


def reproduce(run_id: str, made: RunRecord, settings: Settings, into: Path | None) -> list[Comparison]:
    """
    Make a run again and compare; a run that was interrupted goes on.

    Raises ConfigError when its code cannot be had here, or the folder holds anything else; AdloomError when a stage
    failed. The folder is removed when everything is equal, unless it was asked for.
    """
    root = (into or settings.home / "reproduce" / run_id).resolve()
    if into:
        _require_own(root)
    place = _place(run_id, made, root)
    with workspace.lock_workspace(place.project / ".adloom", place.project):
        _fill(run_id, made, place)
        _bring(made, place, settings)
        if workspace.run_dvc("repro", "--no-run-cache", folder=place.project, **_environment(place)) != 0:
            raise AdloomError(f"run {run_id}: dvc repro stopped in {place.project}; the same command goes on there")
        rows = list(compare(made, place.project))
    if into is None and all(row.equal for row in rows):
        _remove(place)
    return rows


def compare(made: RunRecord, project: Path) -> Iterator[Comparison]:
    """Yield the recorded beside what lies below a folder, in the data's way: digests, or on another CPU numbers."""
    then, now = made.machine, run_record.read_machine()
    same = (then.cpu, then.environment) == (now.cpu, now.environment)
    for name in (name for name in ARTIFACTS if name in made.artifacts):
        if same or name.startswith("data/"):
            here = _digest(project / name)
            yield Comparison(name, made.artifacts[name][:LENGTH], here[:LENGTH], here == made.artifacts[name])
    if not same:
        for model, numbers in made.metrics.items():
            here_too = run_record.read_report_metrics(project / "reports" / model)
            yield from (_number(f"{model} {name}", number, here_too.get(name)) for name, number in numbers.items())


def describe_differences(made: RunRecord) -> list[str]:
    """Return how this machine is not the one of a record."""
    then, now = made.machine, run_record.read_machine()
    before, after = then.packages | then.environment, now.packages | now.environment
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    pairs |= {"CPU": (then.cpu.model, now.cpu.model), "Python": (then.python, now.python)}
    if then.cpu.model == now.cpu.model:
        pairs["CPU"] = (" ".join(then.cpu.flags), " ".join(now.cpu.flags))
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [f"{name} {one or 'none'}, here {other or 'none'}" for name, (one, other) in changed.items()]


def _place(run_id: str, made: RunRecord, root: Path) -> Checkout:
    """Return a worktree of the run's commit, or outside of a repository a folder for the adloom installed here."""
    top = next(iter(run_git("rev-parse", "--show-toplevel")), None)
    if top is None or made.git_commit is None:
        _require_version(run_id, made)
        return Checkout(root, root, tree=False)
    if made.git_commit.endswith(DIRTY):
        raise ConfigError(f"run {run_id}: its code was never committed ({made.git_commit}), so nobody has it")
    if not run_git("rev-parse", "--verify", "--quiet", f"{made.git_commit}^{{commit}}"):
        raise ConfigError(
            f"run {run_id}: commit {made.git_commit} is not in {top}; `git fetch`, "
            f"or call this outside of a repository with adloom {made.machine.adloom} installed"
        )
    if not (root / ".git").exists():
        _add_worktree(root, made.git_commit)
    if run_git("rev-parse", "HEAD", folder=root) != [made.git_commit]:
        raise ConfigError(f"{root}: not a worktree at {made.git_commit}; name another with --into")
    if not (root / "src" / "adloom").is_dir():
        _require_version(run_id, made)
    return Checkout(root, root / _prefix(), tree=True)


def _require_own(root: Path) -> None:
    """Raise ConfigError when a folder is the user's own: `_fill` overwrites params.yaml, and tables are replaced."""
    if [str(root)] == run_git("rev-parse", "--show-toplevel"):
        raise ConfigError(f"{root}: the repository you are in, which would be overwritten; name another with --into")
    begun = (root / _prefix() / MARK).is_file()
    if root.is_dir() and not begun and any(path.name != MARK.parent.name for path in root.iterdir()):
        raise ConfigError(f"{root}: not empty, and no run is made again there; name a new folder with --into")


def _prefix() -> str:
    """Return where this folder lies in its repository."""
    return next(iter(run_git("rev-parse", "--show-prefix")), "")


def _require_version(run_id: str, made: RunRecord) -> None:
    here = run_record.read_machine().adloom
    if made.machine.adloom != here:
        raise ConfigError(
            f"run {run_id}: made by adloom {made.machine.adloom}, this is {here}; "
            f"`pip install adloom=={made.machine.adloom}`, or call this in the repository of its code"
        )


def _add_worktree(root: Path, commit: str) -> None:
    command = ["git", "worktree", "add", "--quiet", "--force", "--detach", str(root), commit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise AdloomError(f"{root}: no worktree: {done.stderr.strip()}; name another folder with --into")


def _fill(run_id: str, made: RunRecord, place: Checkout) -> None:
    """Write what the run is made from into a new folder; one that was begun stays. ConfigError when it is another's."""
    mark = place.project / MARK
    if mark.is_file():
        if mark.read_bytes() != made.to_bytes():
            raise ConfigError(f"{place.root}: another run is made again there; name another with --into")
        return
    if not place.tree:
        project.init_project(place.project)
    (place.project / "dvc.lock").unlink(missing_ok=True)  # of other runs
    text = yaml.safe_dump(made.params, allow_unicode=True, sort_keys=False)
    (place.project / "params.yaml").write_text(f"# of run {run_id}\n{text}", encoding="utf-8")
    mark.write_bytes(made.to_bytes())


def _environment(place: Checkout) -> dict[str, str]:
    """Return what keeps the run to itself: its code first, its own scratch, an MLflow of its own."""
    source = place.root / "src"
    return {
        "ADLOOM_HOME": str(place.project / ".adloom"),
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "MLFLOW_RUN_ID": "",
        "KFP_RUN_ID": "",
        **({"PYTHONPATH": str(source)} if (source / "adloom").is_dir() else {}),
    }


def _bring(made: RunRecord, place: Checkout, settings: Settings) -> None:
    """Bring the dataset: from the remote, or from here when it is the one that lies here."""
    beside = place.project / ".adloom" / "remote"
    if _is_here(made):
        source = dvc_remote.open_remote(Settings(dvc_remote=str(beside)))
        dataset.push(made.project, dataset.table_folders(dataset.FOLDER), source)
    else:
        source = dvc_remote.open_remote(settings)
    pull.pull_dataset(dataset.find_dataset(made.dataset, made.project, source), None, source, place.project, force=True)
    shutil.rmtree(beside, ignore_errors=True)


def _is_here(made: RunRecord) -> bool:
    try:
        return dataset.compute_digest(made.project, dataset.table_folders(dataset.FOLDER)) == made.dataset
    except ArtifactError:
        return False


def _digest(folder: Path) -> str:
    return manifest.digest(folder) if (folder / manifest.MANIFEST).is_file() else "absent"


def _number(name: str, then: Metric, now: Metric | None) -> Comparison:
    margin = TOLERANCE * abs(then.value)
    within = now is not None and then.low - margin <= now.value <= then.high + margin
    shown = f"{now.value:.4g}" if now else "absent"
    return Comparison(name, f"{then.value:.4g} ({then.low:.4g} … {then.high:.4g})", shown, within)


def _remove(place: Checkout) -> None:
    if place.tree:
        run_git("worktree", "remove", "--force", str(place.root))
    shutil.rmtree(place.root, ignore_errors=True)
