"""Lines of the log: what is written is read back, and nothing else is read."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.decision_logs import click, decision

from adloom.decision_log.record import LATEST, Decision, End, Feedback, Gap, Header, Line, decode, encode

IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTEXT_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
COUNTS = st.integers(0, 2**62)
TIMES = st.integers(0, LATEST)
SHARES = st.floats(allow_nan=False, allow_infinity=False)
DECISIONS = st.builds(
    Decision,
    time=TIMES,
    decision_id=IDS,
    project=NAMES,
    user=st.none() | IDS,
    user_key=st.none() | st.binary(min_size=8, max_size=8).map(bytes.hex),
    segment=st.none() | TEXT,
    placement=NAMES,
    context=st.dictionaries(CONTEXT_NAMES, TEXT, max_size=4),
    candidates=st.lists(NAMES, max_size=5),
    probabilities=st.lists(SHARES, max_size=5),
    chosen=st.lists(NAMES, max_size=5),
    propensities=st.lists(SHARES, max_size=5),
    policy=st.none() | NAMES,
    policy_version=st.none() | COUNTS,
    audience=st.none() | NAMES,
    audience_version=st.none() | COUNTS,
    tier=st.sampled_from(["model", "cached", "default"]),
    elapsed_us=COUNTS,
    experiment=st.none() | NAMES,
    arm=st.none() | NAMES,
    arm_probability=st.none() | st.floats(0, 1, exclude_min=True),
)
FEEDBACK = st.builds(
    Feedback,
    time=TIMES,
    decision_id=IDS,
    creative_id=NAMES,
    kind=st.sampled_from(["click", "conversion", "complaint"]),
    value=st.none() | st.floats(0, 1e15),
    feedback_id=st.none() | NAMES,
)
OTHERS = (
    st.builds(Header, time=TIMES, project=NAMES, process=IDS, number=COUNTS, records=COUNTS)
    | st.builds(Gap, time=TIMES, reason=st.sampled_from(["buffer full", "not written"]), records=COUNTS)
    | st.builds(End, time=TIMES, records=COUNTS, last=st.booleans())
)


@given(DECISIONS | FEEDBACK | OTHERS)
def test_a_line_is_read_back_bit_by_bit_and_holds_no_newline(line: Line) -> None:
    text = encode(line)
    assert b"\n" not in text
    assert decode(text) == line
    assert encode(decode(text)) == text
    assert json.loads(text)["type"] == type(line).__name__.lower()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"user": "ann@example.org"}, "user"),
        ({"decision_id": "1"}, "decision_id"),
        ({"tier": "guess"}, "tier"),
        ({"time": 1.5}, "time"),
        ({"time": -1}, "time"),
        ({"time": 2**62}, "time"),
        ({"position": 2**31}, "position"),
        ({"context": {"a\0b": "x"}}, "context"),
        ({"context": {"a\n": "x"}}, "context"),
        ({"context": {"": "x"}}, "context"),
        ({"context": {"ctx_": "x"}}, "context"),
        ({"context": {"a" * 65: "x"}}, "context"),
        ({"context": {str(number): "x" for number in range(65)}}, "context"),
        ({"probabilities": ["0.5", "0.3", "0.2"]}, "probabilities"),
        ({"probabilities": [None, 0.3, 0.2]}, "probabilities"),
        ({"context": {"device": 1}}, "context"),
        ({"candidates": ["", "bag", "shoe"]}, "candidates"),
        ({"extra": 1}, "extra"),
    ],
)
def test_invalid_decisions_name_the_field(change: dict[str, object], what: str) -> None:
    fields = {**json.loads(encode(decision())), **change}
    with pytest.raises(msgspec.ValidationError, match=what):
        decode(json.dumps(fields).encode())


@pytest.mark.parametrize("change", [{"value": -1.0}, {"value": 1e16}, {"kind": "view"}, {"feedback_id": ""}])
def test_feedback_is_held_to_its_limits(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(change))):
        decode(json.dumps({**json.loads(encode(click())), **change}).encode())


@given(st.binary(max_size=60))
def test_no_bytes_are_anything_but_a_line_or_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        decode(data)
