"""The users of a segment as ad platforms take them: consent checked, contacts normalised and hashed."""

import hashlib
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Literal

from adloom.data.privacy import CONSENT_VALUES

Identifier = Literal["pseudonym", "email", "phone"]
Platform = Literal["google", "meta"]

HEADERS: dict[tuple[Identifier, Platform], str] = {  # that the platforms' uploads expect
    ("pseudonym", "google"): "user_id",
    ("pseudonym", "meta"): "user_id",
    ("email", "google"): "Email",
    ("email", "meta"): "email",
    ("phone", "google"): "Phone",
    ("phone", "meta"): "phone",
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_GMAIL = ("gmail.com", "googlemail.com")


def normalise_email(text: str, platform: Platform) -> str | None:
    """
    Return an e-mail address as the platform hashes it, None for an invalid one.

    Both platforms trim and lower-case; Google drops the dots before gmail.com and googlemail.com.
    """
    address = text.strip().lower()
    if not _EMAIL.fullmatch(address):
        return None
    name, _, domain = address.partition("@")
    return f"{name.replace('.', '')}@{domain}" if platform == "google" and domain in _GMAIL else address


def normalise_phone(text: str, platform: Platform, region: str | None) -> str | None:
    """
    Return a phone number as the platform hashes it, None for an invalid one: E.164, for Meta without the plus.

    `region` is the country of numbers without a country code, such as DE.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    written: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return written if platform == "google" else written.removeprefix("+")


def hash_contact(normalised: str) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(normalised.encode()).hexdigest()


@dataclass
class Export:
    """Collects the identifiers of a segment's users. Refusal wins where a user both consents and refuses."""

    members: Set[str]  # pseudonyms of the segment's users
    identifier: Identifier
    platform: Platform
    region: str | None = None
    agreed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    reachable: set[str] = field(default_factory=set)  # users with a valid contact
    invalid: set[str] = field(default_factory=set)  # users with an invalid one
    hashes: set[str] = field(default_factory=set)

    def add_consent(self, rows: Iterable[tuple[str, str | None]]) -> None:
        """Read rows of a pseudonym and a consent."""
        for user, consent in rows:
            if user in self.members:
                is_given = str(consent).strip().lower() in CONSENT_VALUES
                (self.agreed if is_given else self.refused).add(user)

    def add_contacts(self, rows: Iterable[tuple[str, str | None]]) -> None:
        """Read rows of a pseudonym and a contact, after all consents."""
        consenting = self.consenting
        for user, contact in rows:
            if user in consenting and contact and contact.strip():
                if normalised := self._normalise(contact):
                    self.reachable.add(user)
                    self.hashes.add(hash_contact(normalised))
                else:
                    self.invalid.add(user)

    @property
    def consenting(self) -> Set[str]:
        """The users who may be exported."""
        return self.agreed - self.refused

    def list_identifiers(self) -> list[str]:
        """Return the identifiers, sorted, which says nothing about the order of users."""
        return sorted(self.consenting if self.identifier == "pseudonym" else self.hashes)

    def count(self) -> dict[str, int]:
        """Return the number of users at each step, and of identifiers."""
        consenting = len(self.consenting)
        reachable = consenting if self.identifier == "pseudonym" else len(self.reachable)
        return {
            "users": len(self.members),
            "refused": len(self.refused),
            "unknown_consent": len(self.members) - consenting - len(self.refused),
            "consenting": consenting,
            "invalid_contact": len(self.invalid - self.reachable),
            "without_contact": consenting - reachable - len(self.invalid - self.reachable),
            "reachable": reachable,
            "identifiers": len(self.list_identifiers()),
        }

    def _normalise(self, contact: str) -> str | None:
        if self.identifier == "email":
            return normalise_email(contact, self.platform)
        return normalise_phone(contact, self.platform, self.region)
