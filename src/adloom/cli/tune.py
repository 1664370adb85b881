"""`adloom tune`: search a training stage's params."""

from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, PARAMS, FiniteRange, load_context, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial


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
    from adloom.tuning import study, summary

    task = study.define_task(stage.replace("-", "_"), params, epochs)
    journal = task.find_journal(context.home)
    with exclusive_lock(journal.with_suffix(".lock"), f"{journal}: another `adloom tune` writes it; wait or stop it"):
        opened = study.open_study(task, journal)
        for trial in study.run_trials(opened, task, study.Budget(trials, minutes), context):
            click.echo(format_trial(trial), err=True)
    result = {"study": str(journal), **summary.summarize(opened, task)}
    if as_json:
        print_json(result)
        return
    for line in summary.format_summary(task, result):
        click.echo(line)


def format_trial(trial: "FrozenTrial") -> str:
    """Return a line about a trial that ended."""
    from adloom.tuning.summary import join_values

    value = "-" if trial.value is None else f"{trial.value:.4g}"
    return f"trial {trial.number:<4} {trial.state.name.lower():9} {value:>8}   {join_values(trial.params)}"
