"""docs/how-to/decisions.md documents exactly the decision log's fields, checks, reasons and settings."""

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec import structs

from adloom.config.settings import Settings
from adloom.decision_log.record import Decision, DropReason, End, Feedback, Gap, Header, Recommendation
from adloom.decision_log.verify import CHECKS

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "decisions.md").read_text(encoding="utf-8")


def table(after: str) -> str:
    """Return the first table after a text."""
    result = re.search(r"(?:^\|.*\n)+", TEXT[TEXT.index(after) :], re.MULTILINE)
    assert result
    return result[0]


def first_column(after: str) -> list[tuple[str, str]]:
    """Return the code in a table's first column, and the text after it."""
    rows = [row.split("|")[1] for row in table(after).splitlines()[2:]]
    return [result for row in rows for result in re.findall(r"`(\w+)`(\??)", row)]


@pytest.mark.parametrize(
    ("kind", "after"), [(Decision, "`decision`:"), (Feedback, "`feedback`:"), (Recommendation, "`recommendation`, ")]
)
def test_every_field_of_a_record_is_documented_and_marked_if_nullable(kind: type, after: str) -> None:
    fields = [
        (field.name, "?" if not field.required and field.default is None else "") for field in structs.fields(kind)
    ]
    assert first_column(after) == fields


@pytest.mark.parametrize("kind", [Header, Gap, End])
def test_every_field_of_the_other_lines_is_documented(kind: type) -> None:
    [row] = [row for row in table("A segment starts").splitlines() if row.startswith(f"| `{kind.__name__.lower()}`")]
    assert re.findall(r"`(\w+)`", row)[1:] == [field.name for field in structs.fields(kind)]


def test_every_check_and_every_reason_is_documented() -> None:
    assert [name for name, _ in first_column("## Verify the log")] == list(CHECKS)
    promised = table("## Durability")
    assert {reason for reason in get_args(DropReason) if f"`{reason}`" not in promised} == set()


def test_every_setting_is_documented_with_its_default() -> None:
    rows = [[cell.strip(" `") for cell in row.split("|")[1:3]] for row in table("## Settings").splitlines()[2:]]
    fields = {name: field for name, field in Settings.model_fields.items() if name.startswith("log_")}
    defaults = {f"ADLOOM_{name.upper()}": str(field.default or "none") for name, field in fields.items()}
    assert dict(rows) == defaults
