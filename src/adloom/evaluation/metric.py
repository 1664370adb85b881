"""Metrics with intervals, their samples, and report sections."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from adloom.arrays import AnyArray

DIGITS = 10  # significant digits; later ones depend on the order of sums
Unit = Literal["share", "bits", "count", "distance", "ratio", "auc", "ari", "silhouette", "deviations", "amount"]


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval [low, high] over n rows."""

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
    """A sample's own verdict on a candidate's gain."""

    enough: bool  # enough evidence to promote, without other comparisons
    low: float  # lower bound of the gain
    finding: str  # second half of a sentence, with the next step
    p_value: float = 1.0  # of "worse than the margin"; the gate corrects for several comparisons


@dataclass(frozen=True)
class Sample:
    """
    Columns of one row per test row behind a metric.

    `statistic(*columns, weights)` returns the metric; `weights` (rows,) are draw counts.
    """

    columns: tuple[AnyArray, ...]  # each (rows,)
    statistic: Callable[..., float]
    unit: Unit
    compare: "Callable[[Sample, Sample, float], Comparison] | None" = (
        None  # with a rival's sample and a margin; bootstrap if None
    )

    @property
    def defined(self) -> bool:
        """Whether the metric is finite."""
        rows = len(self.columns[0])
        return rows > 0 and bool(np.isfinite(self.statistic(*self.columns, np.ones(rows))))

    @property
    def rows(self) -> int:
        """The number of rows. Raises ValueError for unequal columns."""
        lengths = {len(column) for column in self.columns}
        if len(lengths) != 1 or not min(lengths):
            raise ValueError(f"sample: columns of {sorted(lengths)} rows, expected one length above 0")
        return lengths.pop()


@dataclass(frozen=True)
class Figure:
    """A picture in the report; a function draws it when it is first shown, so that measuring alone draws nothing."""

    title: str
    caption: str
    content: bytes | Callable[[], bytes] = field(repr=False)

    @cached_property
    def png(self) -> bytes:
        """The picture."""
        return self.content if isinstance(self.content, bytes) else self.content()


@dataclass(frozen=True)
class Table:
    """A table in the report; numbers are right-aligned."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[str | float | int]]


@dataclass(frozen=True)
class Lines:
    """Lines of text in the report."""

    title: str
    caption: str
    lines: list[str]


Section = Figure | Table | Lines
History = Mapping[str, Sequence[Sequence[float]]]  # {curve: [[optimizer steps so far, value], …]}, a point per epoch


@dataclass(frozen=True)
class Evaluation:
    """The metrics, samples and report sections of a model."""

    metrics: Mapping[str, Metric]
    samples: Mapping[str, Sample]
    sections: list[Section]
    baseline: Mapping[str, Sample] = field(default_factory=dict)  # the rival of a first model

    def extend(self, other: "Evaluation") -> "Evaluation":
        """Return both evaluations of a model as one, without the other's baseline."""
        samples, sections = {**self.samples, **other.samples}, [*self.sections, *other.sections]
        return Evaluation({**self.metrics, **other.metrics}, samples, sections, self.baseline)


def metrics_to_json(metrics: Mapping[str, Metric]) -> str:
    """Return metrics.json: `{metric: {value, low, high, n, unit}}`, keys sorted."""
    return json.dumps({name: asdict(metric) for name, metric in metrics.items()}, indent=1, sort_keys=True) + "\n"


def parse_metrics(text: str) -> dict[str, Metric]:
    """Parse metrics.json."""
    return {name: Metric(**metric) for name, metric in json.loads(text).items()}
