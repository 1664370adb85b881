"""The contracts: how values are read, and the reason of each kind of broken row."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.raw_tables import EVENT, IMPRESSION, frame, reasons

from adloom.data import contracts
from adloom.data.contracts import CONTRACTS
from adloom.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"user_id": ""}, "user_id: missing"),
        ({"user_id": None}, "user_id: missing"),
        ({"event": "  "}, "event: missing"),
        ({"timestamp": ""}, "timestamp: missing"),
        (
            {"timestamp": "02/01/2026"},
            "timestamp: not a date of the expected format; set timestamp_format, such as %d.%m.%Y",
        ),
        ({"timestamp": "2026-02-30"}, "timestamp: not a date of the expected format"),
        ({"value": "-0.01"}, ""),
        ({"value": "9,99"}, 'value: not a number; set decimal: "," or thousands: ","'),
        ({"value": "inf"}, "value: not a number"),
        ({"value": ""}, ""),
        ({"quantity": None}, ""),
        ({"user_id": "", "timestamp": "x"}, "timestamp: not a date of the expected format"),
    ],
)
def test_a_broken_event_has_a_reason(change: Mapping[str, str | None], reason: str) -> None:
    good, changed = reasons("events", EVENT, {}, change)
    assert (good, changed) == ("", reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clicked": "TRUE", "propensity": "1", "position": "3", "conversions": "0"}, ""),
        ({"clicked": "2"}, "clicked: neither true nor false"),
        ({"clicked": ""}, "clicked: missing"),
        ({"propensity": "0"}, "propensity: not in (0, 1]"),
        ({"propensity": "1.5"}, "propensity: not in (0, 1]"),
        ({"position": "1.5"}, "position: not a whole number"),
        ({"position": "-1"}, "position: negative"),
        ({"outcome_at": "yesterday"}, "outcome_at: not a date of the expected format"),
        ({"creative_id": ""}, "creative_id: missing"),
    ],
)
def test_a_broken_impression_has_a_reason(change: Mapping[str, str | None], reason: str) -> None:
    assert reasons("impressions", IMPRESSION, change) == [reason]


def test_rows_have_the_contracts_columns_and_types() -> None:
    rows, _ = contracts.validate(frame({**EVENT, "e-mail": "ann@example.org"}, {}), "events")
    assert list(rows.columns) == list(CONTRACTS["events"].columns)
    assert rows["item_id"].isna().all()
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == {
        "user_id": "str",
        "timestamp": "datetime64[us, UTC]",
        "event": "str",
        "item_id": "str",
        "quantity": "float64",
        "value": "float64",
        "currency": "str",
        "user_key": "str",
    }


def test_an_unparsed_line_keeps_its_own_reason() -> None:
    raw = frame(EVENT, {}, {})
    raw[contracts.PARSE_ERROR] = pd.Series([None, "line: 7 fields, expected 5"], dtype="str")
    assert list(contracts.validate(raw, "events")[1]) == ["", "line: 7 fields, expected 5"]


def test_typed_columns_are_read_as_text_was() -> None:
    typed = pa.table(
        {
            "user_id": pa.array([7, None], pa.int64()),
            "timestamp": pa.array(np.array(["2026-01-02", "2026-01-03"], "datetime64[ms]")),
            "event": ["view", "view"],
            "value": pa.array([1, None], pa.int32()),
        }
    ).to_pandas(types_mapper=pd.ArrowDtype)
    rows, reasons = contracts.validate(typed, "events")
    assert rows["user_id"][0] == "7"
    assert rows["value"].tolist()[0] == 1.0
    assert list(reasons) == ["", "user_id: missing"]


def test_a_creative_that_was_no_candidate_breaks_the_row() -> None:
    raw = frame(
        {**IMPRESSION, "creative_id": "a"},
        {"candidates": "b|a"},
        {"candidates": "b|c"},
        {"candidates": ""},
        {"candidates": "b", "creative_id": ""},
    )
    _, reasons = contracts.validate(raw, "impressions")
    assert list(reasons) == ["", "creative_id: not among the candidates", "", "creative_id: missing"]


def test_names_of_context_are_bounded() -> None:
    good = ["ctx_device", "ctx_Größe in cm", f"ctx_{'a' * 64}"]
    bad = ["ctx_", "ctx_a\0", "ctx_a\n", "ctx_ctx_", f"ctx_{'a' * 65}"]
    contract = CONTRACTS["impressions"]
    assert contract.select_columns(pd.Index([*bad, *good]))[len(contract.columns) :] == sorted(good)
    assert CONTRACTS["events"].select_columns(pd.Index(good)) == [*CONTRACTS["events"].columns]


def test_more_columns_of_context_than_a_table_may_have_are_refused() -> None:
    columns = [*IMPRESSION, *(f"ctx_{number}" for number in range(256))]
    CONTRACTS["impressions"].require_columns(pd.Index(columns), "log")
    with pytest.raises(DataError, match="log: 257 columns ctx_…, expected at most 256; leave some out"):
        CONTRACTS["impressions"].require_columns(pd.Index([*columns, "ctx_more"]), "log")


def test_context_is_kept_for_impressions_only() -> None:
    context = {"ctx_device": "phone", "ctx_hour": ""}
    rows, _ = contracts.validate(frame({**IMPRESSION, **context}, {}), "impressions")
    assert rows["ctx_device"].tolist() == ["phone"]
    assert rows["ctx_hour"].isna().all()
    assert "ctx_device" not in contracts.validate(frame({**EVENT, **context}, {}), "events")[0]


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError) as caught:
        CONTRACTS["events"].require_columns(pd.Index(["user_id", "when"]), "orders.csv")
    for part in ("orders.csv", "timestamp, event", "user_id, when", "`columns`", "`constants`"):
        assert part in str(caught.value)
    CONTRACTS["copy"].require_columns(pd.Index(["text"]), "lines.csv")  # rows without a key are numbered


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.fixed_dictionaries({name: st.text(max_size=5) | st.none() for name in EVENT}), min_size=1))
def test_any_text_is_a_valid_row_or_has_a_reason(values: list[dict[str, str | None]]) -> None:
    rows, reasons = contracts.validate(pd.DataFrame(values, columns=list(EVENT), dtype="str"), "events")
    valid = rows[reasons == ""]
    assert len(rows) == len(values)
    assert valid[["user_id", "timestamp", "event"]].notna().all(axis=None)
    assert not np.isinf(valid[["quantity", "value"]]).any(axis=None)
    assert valid["timestamp"].dt.year.between(1980, 2099).all()


def test_attributes_of_creatives_are_bounded_in_number_and_length() -> None:
    contract = CONTRACTS["creatives"]
    contract.reject_unknown(["attr_colour", f"attr_{'a' * 64}"], "ingest.creatives")
    for name in ("attr_", f"attr_{'a' * 65}", "ctx_device", "colour"):
        with pytest.raises(ConfigError, match="expected creative_id, category, image, text, kind, attr_…"):
            contract.reject_unknown([name], "ingest.creatives")
    columns = [*contract.columns, *(f"attr_{number}" for number in range(257))]
    with pytest.raises(DataError, match="257 columns attr_…, expected at most 256"):
        contract.require_columns(pd.Index(columns), "pics")


def test_names_that_requests_cannot_hold_break_the_row() -> None:
    line = {"copy_id": "1", "text": "A dress", "category": "dresses"}
    assert reasons("copy", line, {"category": "d" * 200}, {"category": "d" * 201}) == [
        "",
        "category: longer than 200 characters",
    ]
    assert reasons("impressions", IMPRESSION, {"creative_id": "c" * 201}) == ["creative_id: longer than 200 characters"]
