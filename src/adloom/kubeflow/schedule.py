"""Cron expressions: five standard fields, checked, in the six-field form of Kubeflow Pipelines, and their due times."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from adloom.errors import ConfigError

FIELDS = {  # name: the values that are expected, and what cronsim accepts but Kubeflow Pipelines does not
    "minute": ("0-59", ""),
    "hour": ("0-23", ""),
    "day of the month": ("1-31", "L.*"),
    "month": ("1-12 or JAN-DEC", ""),
    "day of the week": ("0-6 or SUN-SAT", r".*[L#].*|(.*-)?0*7(/.*)?"),
}


@dataclass(frozen=True)
class Cron:
    """The times of a schedule, in UTC."""

    text: str  # five fields

    @property
    def kfp(self) -> str:
        """The six fields of Kubeflow Pipelines; the first is the second."""
        return f"0 {self.text}"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times after a moment. Raises CronSimError for an expression that it cannot read."""
        from cronsim import CronSim

        yield from CronSim(self.text.replace("?", "*"), moment)


def parse(text: str) -> Cron:
    """Parse five fields. Raises ConfigError that names the wrong field, or when the time never comes."""
    fields = text.upper().split()
    if len(fields) != len(FIELDS):
        raise ConfigError(
            f'--schedule "{text}": {len(fields)} fields, expected 5: {", ".join(FIELDS)}, as "30 3 * * *"'
        )
    for position, (field, (name, (expected, unsupported))) in enumerate(zip(fields, FIELDS.items(), strict=True)):
        for part in field.split(","):
            alone = ["*"] * len(FIELDS)
            alone[position] = part
            if re.fullmatch(unsupported, part) or not _is_due(Cron(" ".join(alone))):
                raise ConfigError(
                    f'--schedule "{text}": {name} "{part}": expected *, {expected}, or lists, ranges, steps of these'
                )
    cron = Cron(" ".join(fields))
    if not _is_due(cron):
        raise ConfigError(f'--schedule "{text}": is never due: no such day in these months')
    return cron


def _is_due(cron: Cron) -> bool:
    """Return whether an expression can be read and is due some day."""
    from cronsim import CronSimError

    try:
        return next(cron.after(datetime(2000, 1, 1)), None) is not None
    except CronSimError:
        return False
