"""`adloom policy`: refresh the champion from the decision log between two trainings."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_values
from adloom.config.settings import Settings

if TYPE_CHECKING:
    from adloom.config.params import Params
    from adloom.stages.refresh_policy import RefreshState, StateStore

SEGMENTS_PER_COMMIT = 4  # read into memory at once


@click.group("policy")
def policy() -> None:
    """
    Refresh the policy between two trainings.

    Example: adloom policy refresh
    """


@policy.command("refresh", short_help="Update the champion from new segments of the decision log.")
@PARAMS
@AS_JSON
def refresh_policy(params_path: Path, as_json: bool) -> None:
    """
    Update the champion policy from the finished segments of ADLOOM_LOG_URI that were not read before.

    The new policy moves by at most refresh_policy.max_divergence, and is published unless it is certainly worse on
    held-out users. A run that was interrupted is resumed by the next one.

    Example: adloom policy refresh --json
    """
    from adloom.decision_log.log import find_log
    from adloom.stages import refresh_policy as stage
    from adloom.storage.locks import exclusive_lock
    from adloom.storage.router import open_object_store

    params, context = load_context(params_path)
    settings = Settings()
    store = stage.StateStore(open_object_store(find_log(settings), settings.s3_endpoint), params.project)
    with (
        exclusive_lock(settings.home / "refresh.lock", "another `adloom policy refresh` is running; wait for its end"),
        stage.open_champion(context) as (champion, folder),
    ):
        before = store.load()
        for state in read_log(store, before, params, datetime.now(UTC)):
            before = state
        refreshed, outcome = stage.refresh(champion, folder, before.statistics, params, context)
    values = {"impressions": before.statistics.impressions, "clicks": before.statistics.clicks}
    result = {"step": refreshed.step, "divergence": refreshed.divergence, "lift": refreshed.lift}
    reasons = {f"reason.{i}": reason for i, reason in enumerate(outcome.reasons, 1)}
    print_values({**values, **result, "verdict": outcome.verdict, "champion": outcome.champion, **reasons}, as_json)


def read_log(store: "StateStore", state: "RefreshState", params: "Params", now: datetime) -> "Iterator[RefreshState]":
    """Read the new segments of the log, and yield the state after each commit."""
    import pandas as pd

    from adloom.decision_log import increments
    from adloom.policy.statistics import HELD_OUT
    from adloom.stages.refresh_policy import find_rules

    rules, hours = find_rules(params), params.refresh_policy.click_hours
    new = increments.find_new_segments(store.objects, store.project, now, state.segments)
    for first in range(0, len(new), SEGMENTS_PER_COMMIT):
        names = new[first : first + SEGMENTS_PER_COMMIT]
        tables = []
        for name in names:
            with tempfile.TemporaryDirectory(prefix="adloom-refresh-") as scratch:
                path = store.objects.get(name, Path(scratch) / Path(name).name)
                tables.append(increments.read_segment(path, HELD_OUT))
        shown, feedback = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
        statistics = state.statistics.add(shown, feedback, hours, rules)
        known = increments.keep_listed([*state.segments, *names], now)
        state = store.commit(replace(state, statistics=statistics, segments=tuple(known)))
        yield state
