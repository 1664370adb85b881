"""What a measurement looks like: a value with its interval, and the rows it was computed from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np

from adloom.arrays import AnyArray

DIGITS = 10  # that a number carries; those after them depend on the order of its sums
Unit = Literal["share", "bits", "count", "distance", "ratio", "auc", "ari", "silhouette"]


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval [low, high], measured on n rows; each number has DIGITS digits."""

    value: float
    low: float
    high: float
    n: int
    unit: Unit

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(f"{getattr(self, name):.{DIGITS}g}"))


@dataclass(frozen=True)
class Comparison:
    """What test rows say of a candidate's gain over its rival where an interval does not: is it enough, and why."""

    enough: bool  # to promote; else there is not enough evidence
    low: float  # lower bound of the gain
    finding: str  # a sentence's second half, with the next step


@dataclass(frozen=True)
class Sample:
    """
    What a metric is computed from: columns of one row per test row, so that two models can be compared in pairs.

    `statistic(*columns, weights)` returns the metric; `weights` (rows,) counts how often each row was drawn.
    """

    columns: tuple[AnyArray, ...]  # each (rows,)
    statistic: Callable[..., float]
    unit: Unit
    compare: "Callable[[Sample, Sample, float], Comparison] | None" = (
        None  # with a rival's, within a margin; bootstrap if None
    )

    @property
    def defined(self) -> bool:
        """Whether the metric is finite: an AUC needs users who bought and users who did not."""
        rows = len(self.columns[0])
        return rows > 0 and bool(np.isfinite(self.statistic(*self.columns, np.ones(rows))))

    @property
    def rows(self) -> int:
        """How many rows there are. Raises ValueError when there are none, or columns of several lengths."""
        lengths = {len(column) for column in self.columns}
        if len(lengths) != 1 or not min(lengths):
            raise ValueError(f"a sample's columns have {sorted(lengths)} rows; expected one length above 0")
        return lengths.pop()


@dataclass(frozen=True)
class Figure:
    """A picture in the report."""

    title: str
    caption: str
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class Table:
    """A table in the report; numbers are right-aligned."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[str | float | int]]


@dataclass(frozen=True)
class Lines:
    """Lines of text in the report, such as generated copy."""

    title: str
    caption: str
    lines: list[str]


Section = Figure | Table | Lines
History = Mapping[str, Sequence[Sequence[float]]]  # {curve: [[optimizer steps so far, value], …]}, a point per epoch


@dataclass(frozen=True)
class Evaluation:
    """What was found out about a model: metrics, the samples behind those that can be paired, what to look at."""

    metrics: Mapping[str, Metric]
    samples: Mapping[str, Sample]
    sections: list[Section]
    without: Mapping[str, Sample] = field(
        default_factory=dict
    )  # of what is done without any model: a first one's rival


def metrics_to_json(metrics: Mapping[str, Metric]) -> str:
    """Return metrics.json: `{metric: {value, low, high, n, unit}}`, keys sorted."""
    return json.dumps({name: asdict(metric) for name, metric in metrics.items()}, indent=1, sort_keys=True) + "\n"


def parse_metrics(text: str) -> dict[str, Metric]:
    """Read metrics.json."""
    return {name: Metric(**metric) for name, metric in json.loads(text).items()}
