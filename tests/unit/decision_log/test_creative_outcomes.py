from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.decision_logs import click, decision, frame_segment, write_segment

from adloom.decision_log import creative_outcomes
from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.decision_log.record import Decision, Line
from adloom.library.records import content_id
from adloom.storage.local import FolderStore

AD, OTHER = content_id(b"ad"), content_id(b"other")


def show(number: int, *chosen: str) -> Decision:
    values: dict[str, Any] = {
        "candidates": list(chosen),
        "probabilities": [1 / len(chosen)] * len(chosen),
        "propensities": [1.0] * len(chosen),
    }
    return decision(number, chosen=list(chosen), **values)


@pytest.fixture
def counter(tmp_path: Path) -> OutcomeCounter:
    return OutcomeCounter(str(tmp_path), FolderStore())


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creative_outcomes, "REREAD_SECONDS", 0.0)


def test_each_slot_is_an_impression_and_each_decision_one_click(counter: OutcomeCounter, tmp_path: Path) -> None:
    records: list[Line] = [show(0, AD, OTHER), show(1, AD), click(0, creative_id=AD), click(0, creative_id=AD, time=1)]
    bought = click(1, creative_id=AD, kind="conversion")
    write_segment(tmp_path, frame_segment([*records, bought, decision(2), click(2)]))
    counter.update(10)
    assert counter.count(AD) == (2, 1)
    assert counter.count(OTHER) == (1, 0)
    assert counter.count("bag") == (0, 0)  # not of the library


def test_a_segment_is_read_once(counter: OutcomeCounter, tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([show(0, AD)]))
    counter.update(10)
    counter.update(10)
    write_segment(tmp_path, frame_segment([show(1, AD)], number=1))
    counter.update(10)
    assert (counter.count(AD), counter.is_complete) == ((2, 0), True)


def test_a_long_log_is_read_in_parts(counter: OutcomeCounter, tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([show(0, AD)]))
    counter.update(-1)
    assert (counter.count(AD), counter.is_complete) == ((0, 0), False)
    counter.update(10)
    assert (counter.count(AD), counter.is_complete) == ((1, 0), True)


def test_a_log_without_segments_is_complete(counter: OutcomeCounter) -> None:
    counter.update(10)
    assert counter.is_complete


def test_damage_stops_nothing(counter: OutcomeCounter, tmp_path: Path) -> None:
    write_segment(tmp_path, [*frame_segment([show(0, AD)])[:2], b'{"sha256:": '])
    (tmp_path / "damaged.jsonl.gz").write_bytes(b"not gzip")
    counter.update(10)
    assert counter.count(AD) == (1, 0)


def test_the_memory_for_clicks_is_bounded(
    counter: OutcomeCounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creative_outcomes, "MAX_CLICKS", 3)
    clicks = [click(number, creative_id=AD) for number in range(9)]
    write_segment(tmp_path, frame_segment([*(show(number, AD) for number in range(9)), *clicks]))
    counter.update(10)
    assert counter.count(AD) == (9, 9)
    assert len(counter._clicks) <= 3


@given(st.integers(0, 50), st.integers(0, 50))
def test_there_are_never_more_clicks_than_impressions(
    tmp_path_factory: pytest.TempPathFactory, impressions: int, clicks: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    records: list[Line] = [
        *(show(i, AD) for i in range(impressions)),
        *(click(i, creative_id=AD) for i in range(clicks)),
    ]
    write_segment(folder, frame_segment(records))
    counter = OutcomeCounter(str(folder), FolderStore())
    counter.update(10)
    assert counter.count(AD) == (impressions, min(clicks, impressions))
