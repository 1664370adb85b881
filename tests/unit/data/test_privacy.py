"""Privacy: pseudonyms are HMAC-SHA256, the key stays unknown, and only clear values are consent."""

import hashlib
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.data import privacy

KEY = b"Jefe"
UUID = "550e8400-e29b-41d4-a716-446655440000"


def test_a_pseudonym_is_hmac_sha256() -> None:
    # RFC 4231, test case 2
    assert privacy.pseudonymise("what do ya want for nothing?", KEY) == "5bdcc146bf60754e6a042426089575c7"


@pytest.mark.parametrize(
    ("spellings", "normal"),
    [
        (
            [
                "42",
                "42.0",
                " 42",
                "42.00\t",
                "\u200b42",
                "\ufeff42",
                "42\xa0",
                "4\u20602",
                "\uff14\uff12",
                "\u0664\u0662.0",
            ],
            "42",
        ),
        (["-7.0"], "-7"),
        (["Jose\u0301", "Jos\xe9", "Jose\u200b\u0301"], "Jos\xe9"),
        (
            [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", f"URN:UUID:{UUID}"],
            "550e8400e29b41d4a716446655440000",
        ),
        (["", " ", "\ufeff", "\u200b\xa0"], ""),
    ],
)
def test_an_id_has_one_spelling(spellings: list[str], normal: str) -> None:
    assert {privacy.normalise_user_id(spelling) for spelling in spellings} == {normal}
    assert {privacy.pseudonymise(spelling, KEY) for spelling in spellings} == {privacy.pseudonymise(normal, KEY)}


@pytest.mark.parametrize(
    "text", ["042", "4.2e1", "42.5", "1.0.0", "JOS\xc9", "ann@x.de", "A1", "4 2", "v1.0", "\u2460", "4\xb2", "\uff21"]
)
def test_other_ids_stay_apart(text: str) -> None:
    assert privacy.normalise_user_id(text) == text


@given(
    st.text() | st.from_regex(r"[ \ufeff]?-?[0-9]+(\.0+)?[ \u200b]?", fullmatch=True),
    st.sampled_from([b"k", KEY, b"k" * 64, b"k" * 65]),
)
def test_training_and_serving_give_one_pseudonym(text: str, key: bytes) -> None:
    normal = privacy.normalise_user_id(text)
    assert privacy.normalise_user_id(normal) == normal
    assert privacy.make_pseudonymiser(key)(text) == privacy.pseudonymise(normal, key)


def test_pseudonyms_keep_users_apart() -> None:
    ann, bob = (privacy.pseudonymise(user, KEY) for user in ("ann", "bob"))
    assert ann != bob
    assert re.fullmatch("[0-9a-f]{32}", ann)


def test_another_key_makes_other_pseudonyms() -> None:
    assert privacy.pseudonymise("ann", KEY) != privacy.pseudonymise("ann", b"another")


def test_a_fingerprint_tells_keys_apart_and_is_not_a_plain_hash_of_the_key() -> None:
    assert privacy.key_fingerprint(KEY) != privacy.key_fingerprint(b"another")
    assert len(privacy.key_fingerprint(KEY)) == 16
    assert not hashlib.sha256(KEY).hexdigest().startswith(privacy.key_fingerprint(KEY))


def test_only_a_clear_yes_is_consent() -> None:
    answers = pd.Series(["true", "1", "YES", " y ", "T", "false", "0", "no", "", None, "maybe"], dtype="str")
    assert list(privacy.has_consent(answers)) == [True] * 5 + [False] * 6
    assert list(privacy.has_consent(pd.Series([True, False, None], dtype="boolean"))) == [True, False, False]
    assert list(privacy.has_consent(pd.Series([1, 0]))) == [True, False]
