"""Figures of segments, for the report."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from adloom.arrays import Float64Array, Int64Array
from adloom.audience.profiles import Profile
from adloom.evaluation import figures
from adloom.evaluation.metric import Metric

_PANELS = {
    "customers": "users",
    "days since purchase": "recency_days",
    "purchases": "frequency",
    "spent in all": "monetary",
}


def draw_overview(profiles: Sequence[Profile]) -> bytes:
    """Draw the size and the medians of each segment as bars."""
    figure, [row] = figures.create_panels(1, len(_PANELS), 11.0, 1.0 + 0.42 * len(profiles))
    for ax, (title, field) in zip(row, _PANELS.items(), strict=True):
        values = [getattr(profile, field) for profile in profiles]
        bars = ax.barh(range(len(profiles)), values, color=_colours(len(profiles)))
        ax.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=7, color=figures.INK)
        ax.margins(x=0.25)
        figures.set_labels(ax, title=title)
        _label_rows(ax, [profile.name for profile in profiles] if ax is row[0] else [""] * len(profiles))
    return figures.to_png(figure)


def draw_rates(profiles: Sequence[Profile], rate: Mapping[str, Metric], overall: float) -> bytes:
    """Draw the purchase rate of each segment with its interval, and the overall rate."""
    figure, ax = figures.create_axes(6.8, 1.0 + 0.42 * len(profiles))
    shown = [(i, profile.segment) for i, profile in enumerate(profiles) if profile.segment in rate]
    for row, segment in shown:
        metric = rate[segment]
        ax.plot([metric.low, metric.high], [row, row], color=_colours(row + 1)[-1], linewidth=2)
        ax.plot(metric.value, row, "o", color=_colours(row + 1)[-1])
    ax.axvline(overall, color=figures.MUTED, linestyle="--", linewidth=1)
    ax.xaxis.set_major_formatter("{x:.0%}")
    _label_rows(ax, [profile.name for profile in profiles])
    figures.set_labels(ax, x="share that bought in the holdout period")
    return figures.to_png(figure)


def draw_users(
    recency: Float64Array, frequency: Float64Array, segment: Int64Array, profiles: Sequence[Profile]
) -> bytes:
    """Draw users by recency in days and frequency, coloured by segment, an index into profiles, (users,) each."""
    figure, ax = figures.create_axes(6.8, 4.2)
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(frequency))  # otherwise equal counts hide each other
    for i, profile in enumerate(profiles):
        here = segment == i
        ax.plot(recency[here], (frequency + spread)[here], ".", markersize=2.5, color=_colours(i + 1)[-1], alpha=0.6)
        ax.plot([], [], "o", color=_colours(i + 1)[-1], label=profile.name)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    figures.set_labels(ax, x="days since the last purchase", y="purchases")
    ax.legend(frameon=False, fontsize=7, labelcolor=figures.INK, loc="upper right")
    return figures.to_png(figure)


def _label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows, the first on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def _colours(number: int) -> list[str]:
    return [figures.COLOURS[i % len(figures.COLOURS)] for i in range(number)]
