"""A tracker that reports the epochs of a trial, and ends it when other trials were better at that epoch."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from optuna import Trial, TrialPruned

from adloom.tracking.base import Run, Tracker

STATE_TAG = "tune_state"  # of a child run: complete or pruned


@dataclass(frozen=True)
class TrialRun:
    """A run that passes on everything, and the objective to the trial."""

    run: Run
    trial: Trial
    objective: str

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics. Raises TrialPruned."""
        self.run.log_metrics(values, step)
        if self.objective in values:
            self.trial.report(values[self.objective], step)
            if self.trial.should_prune():
                raise TrialPruned

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.run.set_tags(values)

    def log_artifact(self, path: Path) -> None:
        """Store a file."""
        self.run.log_artifact(path)


@dataclass(frozen=True)
class TrialTracker:
    """A tracker of one trial."""

    tracker: Tracker
    trial: Trial
    objective: str

    @property
    def last_run_id(self) -> str | None:
        """The id of the last run."""
        return self.tracker.last_run_id

    @contextmanager
    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Start a run, named by the trial."""
        pruned: TrialPruned | None = None
        with self.tracker.start_run(f"{name} trial {self.trial.number}", params, tags) as run:
            try:
                yield TrialRun(run, self.trial, self.objective)
            except TrialPruned as error:  # the run ends well
                pruned = error
            run.set_tags({STATE_TAG: "pruned" if pruned else "complete"})
        if pruned:
            raise pruned

    def child_tracker(self, run: Run) -> Tracker:
        """Return a tracker of runs below a run."""
        return self.tracker.child_tracker(run)

    def parent_run(self, name: str) -> AbstractContextManager[Run]:
        """Open the parent of all runs."""
        return self.tracker.parent_run(name)

    def has_parent(self) -> bool:
        """Return whether there is a parent run."""
        return self.tracker.has_parent()

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag."""
        return self.tracker.find_run(tag, value)

    def find_newest_tag(self, tag: str) -> str | None:
        """Return the value of a tag in the newest run that has it."""
        return self.tracker.find_newest_tag(tag)

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file of a run."""
        return self.tracker.read_artifact(run_id, name)
