"""Privacy: pseudonyms are HMAC-SHA256, the key stays unknown, and only clear values are consent."""

import hashlib

import pandas as pd

from adloom.data import privacy

KEY = b"Jefe"


def test_a_pseudonym_is_hmac_sha256() -> None:
    # RFC 4231, test case 2
    assert privacy.pseudonymise("what do ya want for nothing?", KEY) == "5bdcc146bf60754e6a042426089575c7"


def test_pseudonyms_keep_users_apart_and_missing_ones_missing() -> None:
    pseudonyms = privacy.pseudonymise_column(pd.Series(["ann", "bob", None, "ann"], dtype="str"), KEY)
    assert pseudonyms[0] == pseudonyms[3] != pseudonyms[1]
    assert list(pseudonyms.isna()) == [False, False, True, False]
    assert pseudonyms.dropna().str.fullmatch("[0-9a-f]{32}").all()


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
