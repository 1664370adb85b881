"""Counts of an experiment's arms, from segments in any order."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.decision_logs import NOON, click, decision, frame_segment, write_segment
from tests.support.experiments import experiment

from adloom.decision_log import arm_counts
from adloom.decision_log.arm_counts import ArmCounter
from adloom.decision_log.record import Decision, Line
from adloom.errors import UnavailableError
from adloom.storage.local import FolderStore

HOUR = 3_600_000_000
EXPERIMENT = experiment(started=NOON)


@pytest.fixture
def counter(tmp_path: Path) -> ArmCounter:
    return ArmCounter(EXPERIMENT, str(tmp_path), "shop", FolderStore())


def shown(number: int, arm: str, **changes: Any) -> Decision:
    return decision(number, **{"experiment": "new-policy", "arm": arm, "arm_probability": 0.8, **changes})


def counts(counter: ArmCounter) -> dict[tuple[int, int], tuple[int, int, int, int, int, int, int, int]]:
    """Return per arm and user: decisions, clicks, conversions, complaints, default, slow, matured, goals."""
    table = counter.update(NOON + HOUR)
    columns = [table.arm, table.user, table.decisions, *table.events.values(), table.matured, table.goal]
    return {tuple(row[:2]): tuple(row[2:]) for row in zip(*(column.tolist() for column in columns), strict=True)}


def test_decisions_and_their_outcomes_are_counted_by_user_and_arm(tmp_path: Path, counter: ArmCounter) -> None:
    records: list[Line] = [
        shown(0, "champion"),
        shown(1, "champion", tier="default", elapsed_us=30_000),
        shown(2, "challenger", user=None, user_key=None),
        shown(3, "challenger", user=None, user_key=None),
        decision(4),
        shown(5, "champion", experiment="another"),
        *(click(number) for number in (0, 0, 2, 3)),
        click(3, kind="conversion", value=2.5),
        click(0, kind="complaint"),
    ]
    write_segment(tmp_path, frame_segment(records))
    assert counts(counter) == {(0, 0): (2, 1, 0, 1, 1, 1, 0, 0), (1, -1): (2, 2, 1, 0, 0, 0, 0, 0)}


def test_a_click_waits_for_its_decision_in_a_later_segment(tmp_path: Path, counter: ArmCounter) -> None:
    write_segment(tmp_path, frame_segment([shown(0, "champion"), click(1)]))
    assert counts(counter) == {(0, 0): (1, 0, 0, 0, 0, 0, 0, 0)}
    write_segment(tmp_path, frame_segment([shown(1, "champion")], process="d" * 32))
    assert counts(counter) == {(0, 0): (2, 1, 0, 0, 0, 0, 0, 0)}


def test_a_decision_counts_towards_the_goal_at_its_maturity_and_later_clicks_do_not(
    tmp_path: Path, counter: ArmCounter
) -> None:
    write_segment(
        tmp_path, frame_segment([shown(0, "champion"), click(0), shown(1, "champion"), shown(3600, "control")])
    )
    assert counts(counter) == {(0, 0): (2, 1, 0, 0, 0, 0, 1, 1), (2, 0): (1, 0, 0, 0, 0, 0, 0, 0)}
    late = click(1, time=NOON + 2 * HOUR)
    write_segment(tmp_path, frame_segment([late, shown(3602, "control")], process="d" * 32))
    assert counts(counter) == {(0, 0): (2, 1, 0, 0, 0, 0, 2, 1), (2, 0): (2, 0, 0, 0, 0, 0, 0, 0)}


def test_a_long_log_is_counted_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve segments of twenty minutes, which overlap, with clicks on time and late, and repeated decisions."""
    for part in range(12):
        rows = range(1200 * part, 1200 * part + 1500, 100)
        clicks = [click(row - 600 * (row % 7), time=NOON + row * 1_000_000) for row in rows]
        records = [line for row, late in zip(rows, clicks, strict=True) for line in (shown(row, "champion"), late)]
        write_segment(tmp_path, frame_segment(records, process=f"{part:032x}"))
    whole, parts = (ArmCounter(EXPERIMENT, str(tmp_path), "shop", FolderStore()) for _ in range(2))
    expected = counts(whole)
    monkeypatch.setattr(arm_counts, "BATCH", 1)
    assert counts(parts) == expected
    decisions, clicked, *_, matured, goals = expected[0, 0]
    assert decisions == 147 > matured > 100
    assert clicked >= goals > 50


def test_each_segment_is_downloaded_once(tmp_path: Path) -> None:
    """Many segments of a day are ordered by their first bytes."""
    for number in range(arm_counts.BATCH + 1):
        write_segment(tmp_path, frame_segment([shown(number, "champion")], process=f"{number:032x}"))
    store = CountingStore()
    assert counts(ArmCounter(EXPERIMENT, str(tmp_path), "shop", store))[0, 0][0] == arm_counts.BATCH + 1
    assert {*store.fetched.values()} == {1}


def test_decisions_before_the_start_and_repeated_ones_are_not_counted(tmp_path: Path, counter: ArmCounter) -> None:
    records = [shown(0, "champion", time=NOON - 1), shown(1, "champion"), shown(1, "champion")]
    write_segment(tmp_path, frame_segment(records))
    assert counts(counter) == {(0, 0): (1, 0, 0, 0, 0, 0, 0, 0)}


def test_damaged_lines_and_an_empty_log_are_passed_over(tmp_path: Path, counter: ArmCounter) -> None:
    assert counts(counter) == {}
    start, *rest = frame_segment([shown(0, "champion")])
    write_segment(tmp_path, [start, b'{"type":"decision","experiment":"new-policy"}\n', *rest])
    assert counts(counter) == {(0, 0): (1, 0, 0, 0, 0, 0, 0, 0)}


def test_a_segment_that_the_store_did_not_give_is_read_later(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([shown(0, "champion")]))
    store = ResettingStore()
    counter = ArmCounter(EXPERIMENT, str(tmp_path), "shop", store)
    with pytest.raises(UnavailableError):
        counts(counter)
    store.is_away = False
    assert counts(counter) == {(0, 0): (1, 0, 0, 0, 0, 0, 0, 0)}


def test_the_next_process_reads_new_segments_only_and_counts_the_same(tmp_path: Path) -> None:
    log, cache = str(tmp_path), tmp_path / "home" / "counts.npz"
    first = write_segment(tmp_path, frame_segment([shown(0, "champion"), click(0), click(1), shown(2, "control")]))
    counts(ArmCounter(EXPERIMENT, log, "shop", FolderStore(), cache))
    first.write_bytes(b"it is not read again")
    records: list[Line] = [shown(1, "champion", user=None, user_key=None), shown(3600, "control"), click(2)]
    write_segment(tmp_path, frame_segment(records, process="d" * 32))
    expected = {(0, -1): (1, 1, 0, 0, 0, 0, 0, 0), (0, 0): (1, 1, 0, 0, 0, 0, 1, 1), (2, 0): (2, 1, 0, 0, 0, 0, 0, 0)}
    assert counts(ArmCounter(EXPERIMENT, log, "shop", FolderStore(), cache)) == expected
    assert counts(ArmCounter(EXPERIMENT, log, "shop", FolderStore(), cache)) == expected


@pytest.mark.parametrize("damage", ["other log", "no file of arrays", "other columns"])
def test_counts_of_another_log_or_without_sense_are_made_again(damage: str, tmp_path: Path) -> None:
    cache, log = tmp_path / "counts.npz", tmp_path / "log"
    other = log if damage == "other columns" else tmp_path / "other"
    write_segment(other, frame_segment([shown(0, "champion")] if other == log else [shown(5, "control")]))
    counts(ArmCounter(EXPERIMENT, str(other), "shop", FolderStore(), cache))
    if damage == "no file of arrays":
        cache.write_bytes(b"PK")
    if damage == "other columns":  # of another release
        arrays = dict(np.load(cache))
        np.savez(cache, **arrays | {"counts": arrays["counts"][:, 1:]})
    write_segment(log, frame_segment([shown(0, "champion")]))
    counter = ArmCounter(EXPERIMENT, str(log), "shop", FolderStore(), cache)
    assert counts(counter) == {(0, 0): (1, 0, 0, 0, 0, 0, 0, 0)}


class CountingStore(FolderStore):
    """A store that counts downloads of whole files."""

    def __init__(self) -> None:
        self.fetched = Counter[str]()

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        self.fetched[uri] += 1
        return super().fetch(uri, folder, paths)

    def read_start(self, uri: str, size: int) -> bytes:
        return Path(uri).read_bytes()[:size]


class ResettingStore(FolderStore):
    """A store that lists its files, but gives none while it is away."""

    is_away = True

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        if self.is_away:
            raise UnavailableError(uri)
        return super().fetch(uri, folder, paths)
