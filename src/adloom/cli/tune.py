"""`adloom tune`: search a training stage's params."""

from typing import TYPE_CHECKING, Any

import click

from adloom.cli.options import AS_JSON, PARAMS, FiniteRange, load_context, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from adloom.tuning.study import TuneTask


@click.command("tune")
@PARAMS
@AS_JSON
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Trials, earlier ones included.")
@click.option("--minutes", type=FiniteRange(0, min_open=True), help="Start no trial after this time.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of a trial; by default those of the stage.")
@click.argument("stage")
def tune(
    params_path: "Path", as_json: bool, trials: int, minutes: float | None, epochs: int | None, stage: str
) -> None:
    """
    Search the params of a training stage by its metric on split validation.

    The same command continues an interrupted search. It prints the best params, the importance of each, and the trials
    that no other beats in both metric and CPU seconds.

    Example: adloom tune train-cnn --trials 30 --minutes 60
    """
    from adloom.storage.locks import exclusive_lock
    from adloom.tuning.spaces import find_space

    find_space(stage.replace("-", "_"))  # before the imports that take seconds
    params, context = load_context(params_path)
    from adloom.tuning import study

    task = study.define_task(stage.replace("-", "_"), params, epochs)
    journal = task.find_journal(context.home)
    with exclusive_lock(journal.with_suffix(".lock"), f"{journal}: another `adloom tune` writes it; wait or stop it"):
        opened = study.open_study(task, journal)
        for trial in study.run_trials(opened, task, study.Budget(trials, minutes), context):
            click.echo(format_trial(trial), err=True)
    front = study.find_front(opened)
    result: dict[str, Any] = {
        "study": str(journal),
        "trials": len(study.list_finished(opened)),
        "objective": task.space.objective,
        "importance": study.measure_importance(opened, params.block(task.stage).seed),  # type: ignore[attr-defined]
        "front": [{task.space.objective: t.value, **t.user_attrs, "params": t.params} for t in front],
    }
    if as_json:
        print_json(result)
        return
    for line in format_result(task, result):
        click.echo(line)


def format_trial(trial: "FrozenTrial") -> str:
    """Return a line about a trial that ended."""
    value = "-" if trial.value is None else f"{trial.value:.4g}"
    return f"trial {trial.number:<4} {trial.state.name.lower():9} {value:>8}   {_join(trial.params)}"


def format_result(task: "TuneTask", result: dict[str, Any]) -> list[str]:
    """Return the importance, the front and the best params as lines."""
    objective, front = result["objective"], result["front"]
    if not front:
        return [f"{task.stage}: no trial was completed; give more --minutes"]
    best = _join(front[-1]["params"], ": ")
    return [
        f"\nImportance for {objective}",
        *(f"  {name:20} {share:5.0%}" for name, share in result["importance"].items()),
        f"\n{'CPU s':>8} {objective:>16}   front",
        *(f"{row['seconds']:8.1f} {row[objective]:16.4f}   {_join(row['params'])}" for row in front),
        f"\nBest of {result['trials']} trials, for params.yaml:",
        f"{task.stage}: {{{best}}}",
    ]


def _join(values: dict[str, Any], between: str = " ") -> str:
    texts = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name}{between}{text}" for name, text in texts.items())
