"""Figures of segments, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

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
        values = [getattr(profile, field) or 0 for profile in profiles]  # None is private
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


def draw_effects(profiles: Sequence[Profile]) -> bytes:
    """Draw how far each segment is from all other customers in each feature, in deviations."""
    effects = [profile.effects or {} for profile in profiles]
    values = np.array([list(effect.values()) for effect in effects])
    columns = [name.replace("_", " ") for name in effects[0]]
    return _draw_matrix(values, [p.name for p in profiles], columns, "{:+.1f}", "RdBu_r", 3.0)


def draw_journeys(profiles: Sequence[Profile]) -> bytes:
    """Draw the share of each earlier segment (row) that is in each segment (column) at the end of the period."""
    names = [profile.segment for profile in profiles]
    journeys = [profile.journey or dict.fromkeys(names, np.nan) for profile in profiles]  # without earlier customers
    values = np.array([[journey.get(name, 0.0) for name in names] for journey in journeys])
    return _draw_matrix(values, [f"{p.segment}: {p.name}" for p in profiles], names, "{:.0%}", "RdBu_r", 1.0)


def _draw_matrix(
    values: Float64Array, rows: Sequence[str], columns: Sequence[str], number: str, colours: str, most: float
) -> bytes:
    figure, ax = figures.create_axes(3.2 + 1.2 * len(columns), 1.2 + 0.42 * len(rows))
    ax.imshow(values, cmap=colours, vmin=-most, vmax=most, aspect="auto")
    for row, column in np.ndindex(values.shape):
        colour = "white" if abs(values[row, column]) > 0.7 * most else figures.INK
        text = "" if np.isnan(values[row, column]) else number.format(values[row, column])
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    _label_rows(ax, rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), columns)
    ax.grid(visible=False)
    return figures.to_png(figure)


def draw_elbow(curve: Sequence[Mapping[str, Any]], measure: str) -> bytes:
    """Draw a measure of fit and the silhouette by number of clusters."""
    figure, [[left, right]] = figures.create_panels(1, 2, 8.4, 2.8)
    clusters = [point["clusters"] for point in curve]
    for ax, name, label in ((left, "value", measure), (right, "silhouette", "silhouette")):
        values = [np.nan if point[name] is None else point[name] for point in curve]
        ax.plot(clusters, values, "o-", color=figures.COLOURS[0], linewidth=1.6)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        figures.set_labels(ax, title=label, x="clusters")
    return figures.to_png(figure)


def draw_dendrogram(tree: Mapping[str, Any]) -> bytes:
    """Draw the last merges of a tree: the height is the distance that a merge bridges."""
    figure, ax = figures.create_axes(7.2, 3.0)
    for x, height in zip(tree["x"], tree["height"], strict=True):
        ax.plot(x, height, color=figures.COLOURS[0], linewidth=1.2)
    ax.set_xticks([])
    ax.grid(visible=False, axis="x")
    figures.set_labels(ax, x=f"groups of customers before the last {len(tree['x'])} merges", y="distance")
    return figures.to_png(figure)


def draw_reachability(values: Sequence[float]) -> bytes:
    """Draw the distance at which each customer joins the ones before: valleys are clusters, hills are noise."""
    figure, ax = figures.create_axes(7.2, 2.6)
    ax.fill_between(range(len(values)), values, color=figures.COLOURS[0], linewidth=0)
    ax.set_xlim(0, len(values))
    figures.set_labels(ax, x="customers, close ones side by side", y="reachability")
    return figures.to_png(figure)


def _label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows, the first on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def _colours(number: int) -> list[str]:
    return [figures.COLOURS[i % len(figures.COLOURS)] for i in range(number)]
