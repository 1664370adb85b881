"""No encoding of the terminal ends a command."""

import io
import sys

import pytest

from adloom.cli.doctor import format_finding
from adloom.cli.output_encoding import accept_any_locale
from adloom.doctor.finding import Kind


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", "✓ s3-ok                   s3://café/日: read"),
        ("latin-1", "+ s3-ok                   s3://café/\\u65e5: read"),
        ("ascii", "+ s3-ok                   s3://caf\\xe9/\\u65e5: read"),
        ("cp1251", "+ s3-ok                   s3://caf\\xe9/\\u65e5: read"),
    ],
)
def test_a_finding_is_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str, line: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    accept_any_locale()
    print(*format_finding(Kind.S3_OK("s3://café/日: read")), flush=True)
    assert written.getvalue().decode(encoding) == f"{line}\n"
