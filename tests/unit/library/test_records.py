import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.creatives import make_creative

from adloom.library.records import ReviewError, content_id, make_review

STATES = st.sampled_from(["draft", "approved", "rejected"])


def test_the_id_is_the_digest_of_the_content() -> None:
    assert content_id(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "field",
    [
        {"id": "../../etc/passwd"},
        {"id": content_id(b"").upper()},
        {"kind": "video"},
        {"state": "lost"},
        {"seed": -1},
        {"seed": 2**63},
        {"parents": ["a.png"]},
        {"text": "a\0b"},
        {"category": "\ud800"},
        {"features": {"embedding": [math.nan]}},
        {"features": {"colours": object()}},
        {"owner": "me"},
    ],
)
def test_a_field_that_no_database_holds_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_creative(b"", **field)


@given(before=STATES, state=st.text(max_size=9) | STATES, reason=st.none() | st.text())
def test_only_the_approval_of_a_draft_needs_no_reason(before: str, state: str, reason: str | None) -> None:
    creative = make_creative(b"", state=before)
    has_reason = bool((reason or "").strip()) and "\0" not in (reason or "").strip()
    allowed = state in {"approved", "rejected"} and (has_reason or (before, state) == ("draft", "approved"))
    if allowed and "\0" not in (reason or ""):
        review = make_review(creative, state, "kim", reason)
        assert (review.before, review.state) == (before, state)
    elif not allowed:
        with pytest.raises(ReviewError):
            make_review(creative, state, "kim", reason)


def test_a_reason_that_no_database_holds_is_refused() -> None:
    with pytest.raises(ReviewError, match="reason: Value error, contains a zero byte"):
        make_review(make_creative(b""), "rejected", "kim", "a\0b")
