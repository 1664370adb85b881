"""Findings: their names are those of the docs, and an error's last clause is the next step."""

import re
from pathlib import Path

import pytest

from adloom.doctor.finding import Finding, Kind, State
from adloom.doctor.runner import CHECKS
from adloom.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "doctor.md"


def test_the_docs_have_every_finding_with_its_state_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([\w ]+) \| \S.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [kind.value for kind in Kind]


def test_every_finding_begins_with_its_check() -> None:
    assert {Kind(kind)("found").check for kind in Kind} == {*CHECKS, "check"}


@pytest.mark.parametrize(
    ("error", "found", "next_step"),
    [
        (
            "s3://a: no bucket a at B; make it or correct the uri",
            "s3://a: no bucket a at B",
            "make it or correct the uri",
        ),
        ("a; b; c", "a; b", "c"),
        ("nothing but a fact", "nothing but a fact", "see the server's log"),
    ],
)
def test_an_error_is_told_with_its_next_step(error: str, found: str, next_step: str) -> None:
    told = Kind.S3_FAILED.from_error(ConfigError(error))
    assert told == Finding("s3", "s3-failed", State.BROKEN, found, next_step)
