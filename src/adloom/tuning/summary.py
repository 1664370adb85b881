"""The result of a study in numbers and lines."""

from typing import Any

import optuna

from adloom.tuning import study as studies
from adloom.tuning.study import TuneTask


def summarize(study: optuna.Study, task: TuneTask) -> dict[str, Any]:
    """Return the number of trials, the importance of each param and the front as JSON has them."""
    objective = task.space.objective
    front = studies.find_front(study)
    return {
        "trials": len(studies.list_finished(study)),
        "objective": objective,
        "importance": studies.measure_importance(study, task.params.seed),
        "front": [{objective: trial.value, **trial.user_attrs, "params": trial.params} for trial in front],
    }


def format_summary(task: TuneTask, summary: dict[str, Any]) -> list[str]:
    """Return the importance, the front and the best params as lines."""
    objective, front = summary["objective"], summary["front"]
    if not front:
        return [f"{task.stage}: no trial was completed; allow more time or fewer epochs"]
    best = join_values(front[-1]["params"], ": ")
    return [
        f"\nImportance for {objective}",
        *(f"  {name:20} {share:5.0%}" for name, share in summary["importance"].items()),
        f"\n{'CPU s':>8} {objective:>16}   front",
        *(f"{row['seconds']:8.1f} {row[objective]:16.4f}   {join_values(row['params'])}" for row in front),
        f"\nBest of {summary['trials']} trials, for params.yaml:",
        f"{task.stage}: {{{best}}}",
    ]


def join_values(values: dict[str, Any], between: str = " ") -> str:
    """Return params as one line."""
    texts = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name}{between}{text}" for name, text in texts.items())
