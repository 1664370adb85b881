"""The policy's figures in the report."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from adloom.arrays import Float64Array
from adloom.evaluation import figures
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.lift_over_time import LiftPoint


def draw_rates(estimates: Mapping[str, Estimate], logged: float, label: str, share: bool) -> bytes:
    """Draw an interval per policy, and the log's own value as a line."""
    figure, ax = figures.create_axes(6.8, 1.0 + 0.36 * len(estimates))
    for row, estimate in enumerate(estimates.values()):
        colour = figures.COLOURS[0] if estimate.trustworthy else figures.MUTED
        ax.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2)
        ax.plot(estimate.value, row, "o", color=colour)
    ax.axvline(logged, color=figures.MUTED, linestyle="--", linewidth=1)
    ax.xaxis.set_major_formatter("{x:.2%}" if share else "{x:.4g}")
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set_ylim(len(estimates) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    figures.set_labels(ax, x=label)
    return figures.to_png(figure)


def draw_shares(log: Float64Array, policy: Float64Array) -> bytes:
    """Draw creatives by their impression shares (creatives,)."""
    figure, ax = figures.create_axes(4.6, 4.2)
    top = 1.05 * float(max(log.max(), policy.max()))
    ax.plot([0, top], [0, top], color=figures.MUTED, linestyle="--", linewidth=1)
    ax.plot(log, policy, "o", color=figures.COLOURS[0], markersize=3.5, alpha=0.7)
    ax.set_xlim(0, top)
    ax.set_ylim(0, top)
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.yaxis.set_major_formatter("{x:.1%}")
    figures.set_labels(ax, x="share in the log", y="share by the policy")
    return figures.to_png(figure)


def draw_lift(points: Sequence[LiftPoint]) -> bytes:
    """Draw the lift over time with its interval; the first points, of few rows, do not set the scale."""
    figure, ax = figures.create_axes(6.8, 3.2)
    time = [point.time for point in points]
    value, low, high = (1000 * np.array(numbers) for numbers in list(zip(*points, strict=True))[1:])
    ax.axhline(0, color=figures.MUTED, linestyle="--", linewidth=1)
    ax.fill_between(time, low, high, color=figures.COLOURS[0], alpha=0.15, linewidth=0)
    ax.plot(time, value, "o-", color=figures.COLOURS[0], linewidth=1.8, markersize=3)
    settled = len(points) // 4
    least, most = min(0.0, low[settled:].min()), max(0.0, high[settled:].max())
    ax.set_ylim(least - 0.05 * (most - least), most + 0.05 * (most - least))
    ax.yaxis.set_major_formatter("{x:+g}")
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figures.set_labels(ax, y="lift per 1,000 impressions")
    return figures.to_png(figure)
