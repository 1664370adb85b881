"""Sidecars: a signed line verifies by its own digest, and no change of line or sidecar goes unseen."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.signed_pictures import KEY, ORIGIN, OTHER_KEY

from adloom.credentials.keys import SigningKey, to_pem
from adloom.credentials.records import Sidecar, Verification
from adloom.credentials.sidecar import sign_content, verify_content

LINE = "Lovely warm coat für dich".encode()
SIDECAR = sign_content(LINE, ORIGIN, KEY)
BROKEN = Verification("changed", ("manifest",))


def decode(field: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(base64.urlsafe_b64decode(field + "=="))
    return content


def encode(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_a_signed_line_is_whole_and_ours() -> None:
    verification = verify_content(LINE, SIDECAR, KEY)
    assert (verification.state, verification.ours, verification.origin) == ("whole", True, ORIGIN)
    assert (verification.signed_by, verification.trusted_by) == ("adloom local signer", None)
    assert verification.made_at
    assert datetime.fromisoformat(verification.made_at) <= datetime.now(UTC)


def test_the_line_is_not_in_its_sidecar() -> None:
    assert "Lovely" not in json.dumps(decode(SIDECAR.payload))
    assert decode(SIDECAR.protected)["alg"] == "ES256"


def test_another_line_is_changed() -> None:
    verification = verify_content(LINE.replace(b"warm", b"cold"), SIDECAR, KEY)
    assert (verification.state, verification.changed, verification.ours) == ("changed", ("content",), True)


def test_a_line_without_sidecar_is_stripped() -> None:
    assert verify_content(LINE, None, KEY) == Verification("stripped")


def test_others_are_not_ours_and_trusted_if_their_authority_is() -> None:
    verification = verify_content(LINE, SIDECAR, OTHER_KEY, KEY.authorities)
    assert (verification.state, verification.ours, verification.trusted_by) == ("whole", False, "adloom local CA")
    assert verify_content(LINE, SIDECAR, OTHER_KEY, OTHER_KEY.authorities).trusted_by is None


def test_an_authority_signs_no_line() -> None:
    """A certificate that may issue others does not vouch for a line."""
    header = {**decode(SIDECAR.protected), "x5c": [base64.b64encode(to_pem(KEY.authorities)).decode()]}
    assert verify_content(LINE, SIDECAR.model_copy(update={"protected": encode(header)}), KEY) == BROKEN


def test_a_line_of_an_earlier_certificate_stays_ours() -> None:
    assert verify_content(LINE, SIDECAR, SigningKey(OTHER_KEY.key, OTHER_KEY.chain, KEY.chain)).ours


@pytest.mark.parametrize("change", [{"alg": "none"}, {"alg": "HS256"}, {"typ": "JWT"}, {"x5c": []}, {"x5c": ["!"]}])
def test_another_header_is_refused(change: dict[str, object]) -> None:
    header = encode({**decode(SIDECAR.protected), **change})
    assert verify_content(LINE, SIDECAR.model_copy(update={"protected": header}), KEY) == BROKEN


def test_the_signature_of_another_key_is_refused() -> None:
    other = sign_content(LINE, ORIGIN, OTHER_KEY)
    assert verify_content(LINE, SIDECAR.model_copy(update={"signature": other.signature}), KEY) == BROKEN


@given(st.sampled_from(["protected", "payload", "signature"]), st.data())
def test_no_change_of_a_character_goes_unseen(field: str, data: st.DataObject) -> None:
    text: str = getattr(SIDECAR, field)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[at]))
    changed = SIDECAR.model_copy(update={field: text[:at] + other + text[at + 1 :]})
    assert verify_content(LINE, changed, KEY) == BROKEN


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_garbage_is_broken(protected: str, payload: str, signature: str) -> None:
    assert verify_content(LINE, Sidecar(protected=protected, payload=payload, signature=signature), KEY) == BROKEN
