"""Cron expressions: five standard fields, checked, as the six that Kubeflow Pipelines takes, and when they are due."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from adloom.errors import ConfigError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS = {  # lowest and highest value, and names of values from the lowest on
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day of the month": (1, 31, ()),
    "month": (1, 12, MONTHS),
    "day of the week": (0, 6, DAYS),
}
PART = re.compile(r"^(?:[*?]|(?P<first>[A-Z]+|[0-9]+)(?:-(?P<last>[A-Z]+|[0-9]+))?)(?:/(?P<step>[0-9]+))?$")
HORIZON = 366 * 8  # days; the 29th of February comes at least once in them


@dataclass(frozen=True)
class Cron:
    """When a schedule is due, in UTC."""

    text: str  # five fields
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday

    @property
    def kfp(self) -> str:
        """The six fields of Kubeflow Pipelines, whose first is the second."""
        return f"0 {self.text}"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the times it is due after a moment, for eight years."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight + timedelta(days=n) for n in range(HORIZON)):
            if day.month in self.months and self._has(day):
                times = (day.replace(hour=h, minute=m) for h in sorted(self.hours) for m in sorted(self.minutes))
                yield from (time for time in times if time > moment)

    def _has(self, day: datetime) -> bool:
        """Whether it is due on a day: on either kind of day when both are restricted, as cron has it."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        _, _, of_month, _, of_week = self.text.split()
        free = {"*", "?"} & {of_month[0], of_week[0]}
        return (in_month and in_week) if free else (in_month or in_week)


def parse(text: str) -> Cron:
    """Read five fields. Raises ConfigError naming the field that is wrong, or when the time never comes."""
    fields = text.upper().split()
    if len(fields) != len(FIELDS):
        raise ConfigError(
            f'--schedule "{text}": {len(fields)} fields, expected 5: {", ".join(FIELDS)}, as "30 3 * * *"'
        )
    values = [_values(field, name, text) for field, name in zip(fields, FIELDS, strict=True)]
    cron = Cron(" ".join(fields), *values)
    if next(cron.after(datetime(2000, 1, 1)), None) is None:
        raise ConfigError(f'--schedule "{text}": is never due: no such day in these months')
    return cron


def _values(field: str, name: str, text: str) -> frozenset[int]:
    low, high, names = FIELDS[name]
    found: set[int] = set()
    for part in field.split(","):
        match = PART.match(part)
        start, end = _span(match, name) if match else (1, 0)
        width = int(match["step"] or 1) if match else 1
        if not (low <= start <= end <= high and width):
            known = f"{low}-{high}" + (f" or {names[0]}-{names[-1]}" if names else "")
            raise ConfigError(
                f'--schedule "{text}": {name} "{part}": expected *, {known}, or lists, ranges, steps of these'
            )
        found.update(range(start, end + 1, width))
    return frozenset(found)


def _span(match: re.Match[str], name: str) -> tuple[int, int]:
    """Return the first and last value that a part covers, outside of the field's when it has a word that is none."""
    low, high, names = FIELDS[name]
    if match["first"] is None:
        return low, high
    known = {word: low + i for i, word in enumerate(names)} | {f"{n:02}": n for n in range(high + 1)}
    start = known.get(match["first"].zfill(2), -1)
    if match["last"]:
        return start, known.get(match["last"].zfill(2), -1)
    return start, high if match["step"] else start
