"""Values of every notation become one type, or have a reason."""

import numpy as np
import pandas as pd
import pytest
from tests.support.raw_tables import EVENT, IMPRESSION, frame

from adloom.config.sources import ValueFormat
from adloom.data import contracts
from adloom.data.values import map_distinct


def test_times_are_converted_to_utc() -> None:
    rows, _ = contracts.validate(
        frame(EVENT, {"timestamp": "2026-01-02T00:30:00"}, {"timestamp": "2026-01-02T00:30:00+01:00"}), "events"
    )
    assert [str(t) for t in rows["timestamp"]] == ["2026-01-02 00:30:00+00:00", "2026-01-01 23:30:00+00:00"]


def test_a_timestamp_format_is_the_only_one_accepted() -> None:
    mixed = frame(EVENT, {"timestamp": "31.12.2025"}, {"timestamp": "2025-12-31"}, {"timestamp": "12/31/2025"})
    rows, reasons = contracts.validate(mixed, "events", ValueFormat(timestamp_format="%d.%m.%Y"))
    assert str(rows["timestamp"][0]) == "2025-12-31 00:00:00+00:00"
    assert list(reasons) == ["", *["timestamp: not a date of the expected format"] * 2]


def test_seconds_and_milliseconds_since_1970_are_times_too() -> None:
    for timestamp_format, number in {"epoch_s": "1767312000.5", "epoch_ms": "1767312000500"}.items():
        rows, reasons = contracts.validate(
            frame(EVENT, {"timestamp": number}, {"timestamp": "soon"}),
            "events",
            ValueFormat(timestamp_format=timestamp_format),
        )
        assert str(rows["timestamp"][0]) == "2026-01-02 00:00:00.500000+00:00"
        assert list(reasons) == ["", "timestamp: not a date of the expected format"]


@pytest.mark.parametrize("candidates", ["a|b", '["a", "b"]', ["a", "b"], np.array(["a", "b"], object)])
def test_candidates_are_lists_in_every_notation(candidates: object) -> None:
    raw = frame({**IMPRESSION, "creative_id": "a"}, {}, {})
    raw = raw.assign(candidates=pd.Series([candidates, None], dtype="object"))
    rows, reasons = contracts.validate(raw, "impressions")
    assert list(rows["candidates"][0]) == ["a", "b"]
    assert rows["candidates"].isna()[1]
    assert list(reasons) == ["", ""]


def test_text_that_only_looks_like_json_is_split_as_other_text() -> None:
    raw = frame(
        {**IMPRESSION, "creative_id": "[a"}, {"candidates": "[a|b"}, {"candidates": "[1]"}, {"candidates": "[]"}
    )
    rows, reasons = contracts.validate(raw, "impressions")
    assert [list(parts) for parts in rows["candidates"]] == [["[a", "b"], ["[1]"], ["[]"]]
    assert list(reasons) == ["", *["creative_id: not among the candidates"] * 2]


def test_a_function_is_called_once_per_distinct_text() -> None:
    seen: list[str] = []

    def initial(text: str) -> str:
        seen.append(text)
        return text[0]

    mapped = map_distinct(pd.Series(["ann", "bob", None, "ann"], dtype="str"), initial)
    assert mapped.dropna().tolist() == ["a", "b", "a"]
    assert list(mapped.isna()) == [False, False, True, False]
    assert seen == ["ann", "bob"]
    assert map_distinct(pd.Series([None], dtype="str"), str.upper).isna().all()
