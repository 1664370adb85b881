"""How a source writes its values: missing values, numbers and times."""

import re
import zoneinfo
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from adloom.config.base import ConfigModel

EPOCH_UNITS = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}  # numbers per second
NULL_WORDS = (
    *("NULL", "null", "Null", "(null)", r"\N", "None", "NaN", "nan", "NaT", "<NA>"),
    *("N/A", "n/a", "#N/A", "(not set)", "undefined", "-", ""),
)
_DIRECTIVES = re.compile(r"%(.?)", re.DOTALL)
_KNOWN_DIRECTIVES = frozenset("YmdyHIMSfpzZbBaAj")
_REPLACEMENTS = {
    "s": "use epoch_s",
    "F": "write %Y-%m-%d",
    "T": "write %H:%M:%S",
    "D": "write %m/%d/%y",
    "R": "write %H:%M",
    "e": "write %d",
    "k": "write %H",
    "L": "write %f",
    "N": "write %f",
}
_DAYS = ({"Y", "m", "d"}, {"Y", "b", "d"}, {"Y", "B", "d"}, {"Y", "j"})


class ValueFormat(ConfigModel):
    """How a source writes its values."""

    null_values: list[str] | None = Field(
        None,
        description=f"Texts that mean a missing value. Default: {', '.join(word or 'blank' for word in NULL_WORDS)}; "
        "in `text` of copy only blank.",
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal sign of numbers as text; a point if absent, unless 1.234 may be 1234."
    )
    thousands: Literal[",", ".", "'", " "] | None = Field(
        None, description="Sign between groups of digits, as in 1,234,567; with a point, the decimal sign is a comma."
    )
    currency_symbols: list[str] = Field([], description="Texts to remove from numbers, such as € and EUR.")
    timezone: str = Field("UTC", description="IANA time zone of times without a zone, such as Europe/Berlin.")
    timestamp_format: str | None = Field(
        None,
        description="strptime format of timestamps, or epoch_s, epoch_ms, epoch_us, epoch_ns; ISO 8601 if absent.",
    )

    @property
    def decimal_sign(self) -> str:
        """The sign before the decimals of a number."""
        return self.decimal or ("," if self.thousands == "." else ".")

    @property
    def epoch_unit(self) -> int | None:
        """The numbers per second of a timestamp that is a number; None for other formats."""
        return EPOCH_UNITS.get(self.timestamp_format or "")

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        if timezone not in zoneinfo.available_timezones():
            raise ValueError("expected an IANA time zone such as Europe/Berlin or UTC")
        return timezone

    @field_validator("timestamp_format")
    @classmethod
    def _check_timestamp_format(cls, timestamp_format: str | None) -> str | None:
        if timestamp_format is not None and timestamp_format not in EPOCH_UNITS:
            _check_strptime(timestamp_format)
        return timestamp_format

    @model_validator(mode="after")
    def _check_signs(self) -> Self:
        if self.thousands == self.decimal_sign:
            raise ValueError(f"thousands and decimal are both {self.thousands!r}; set them to different signs")
        return self


PLAIN_FORMAT = ValueFormat()  # ISO 8601 in UTC, numbers with a point


def _check_strptime(timestamp_format: str) -> None:
    """Raise ValueError for a format that names no day or that pandas cannot read."""
    directives = [directive for directive in _DIRECTIVES.findall(timestamp_format) if directive != "%"]
    for directive in directives:
        if directive not in _KNOWN_DIRECTIVES:
            known = f"known are {', '.join(sorted(_KNOWN_DIRECTIVES))}"
            raise ValueError(f"%{directive} cannot be read; {_REPLACEMENTS.get(directive, known)}")
    named = {directive.replace("y", "Y") for directive in directives}
    if not any(day <= named for day in _DAYS):
        raise ValueError(f"names no day; expected such as %d.%m.%Y %H:%M, or {', '.join(EPOCH_UNITS)}")
    if len(named) < len(directives):
        raise ValueError("names a part of the time twice")
    if "I" in named and "p" not in named:
        raise ValueError("%I needs %p; write %H for hours up to 23")
