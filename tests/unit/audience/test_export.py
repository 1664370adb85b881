"""Export: contacts as ad platforms hash them, and consent, by hand."""

import hashlib

import pytest

from adloom.audience.export import Export, Platform, hash_contact, normalise_email, normalise_phone

USERS = frozenset("abcdef")


@pytest.mark.parametrize(
    ("text", "google", "meta"),
    [
        (" Jane.Doe@Shop.Example ", "jane.doe@shop.example", "jane.doe@shop.example"),
        ("Jane.Doe+news@GMail.com", "janedoe+news@gmail.com", "jane.doe+news@gmail.com"),
        ("j.d@googlemail.com", "jd@googlemail.com", "j.d@googlemail.com"),
        ("jane@doe@shop.example", None, None),
        ("jane doe@shop.example", None, None),
        ("jane@shop", None, None),
        ("", None, None),
    ],
)
def test_addresses(text: str, google: str | None, meta: str | None) -> None:
    assert (normalise_email(text, "google"), normalise_email(text, "meta")) == (google, meta)


@pytest.mark.parametrize(
    ("text", "region", "platform", "normalised"),
    [
        ("+49 (0)30 123456", None, "google", "+4930123456"),
        ("030/12 34 56", "DE", "google", "+4930123456"),
        ("030/12 34 56", "DE", "meta", "4930123456"),
        ("06 698 12345", "IT", "google", "+390669812345"),  # Italy keeps the zero
        ("030 123456", None, "google", None),
        ("12", "DE", "google", None),
        ("none", "DE", "meta", None),
    ],
)
def test_phone_numbers(text: str, region: str | None, platform: Platform, normalised: str | None) -> None:
    assert normalise_phone(text, platform, region) == normalised


def test_the_hash_is_that_of_the_platforms() -> None:
    assert hash_contact("test@example.com") == "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"


def test_only_consenting_users_with_a_valid_contact_are_exported() -> None:
    export = Export(USERS, "email", "google")
    export.add_consent(
        [("a", "yes"), ("b", "1"), ("c", "true"), ("d", "no"), ("e", "yes"), ("e", "no"), ("z", "yes"), ("c", "yes")]
    )
    export.add_contacts([("a", "A@x.org"), ("a", "a2@x.org"), ("b", "a@x.org "), ("c", "nothing"), ("c", None)])
    export.add_contacts([("d", "d@x.org"), ("z", "z@x.org")])
    expected = {hashlib.sha256(contact).hexdigest() for contact in (b"a@x.org", b"a2@x.org")}
    assert export.list_identifiers() == sorted(expected)
    assert export.count() == {
        "users": 6, "refused": 2, "unknown_consent": 1, "consenting": 3, "invalid_contact": 1,
        "without_contact": 0, "reachable": 2, "identifiers": 2,
    }  # fmt: skip


def test_pseudonyms_need_no_contacts() -> None:
    export = Export(USERS, "pseudonym", "meta")
    export.add_consent([("b", "y"), ("a", "y"), ("c", None)])
    assert export.list_identifiers() == ["a", "b"]
    assert (export.count()["reachable"], export.count()["refused"]) == (2, 1)
