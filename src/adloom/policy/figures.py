"""The policy's figures in the report."""

from collections.abc import Mapping

from adloom.arrays import Float64Array
from adloom.evaluation import figures
from adloom.policy.ope.estimate import Estimate


def draw_rates(estimates: Mapping[str, Estimate], logged: float) -> bytes:
    """Draw an interval per policy, and the log's rate as a line."""
    figure, ax = figures.create_axes(6.8, 1.0 + 0.36 * len(estimates))
    for row, estimate in enumerate(estimates.values()):
        colour = figures.COLOURS[0] if estimate.trustworthy else figures.MUTED
        ax.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2)
        ax.plot(estimate.value, row, "o", color=colour)
    ax.axvline(logged, color=figures.MUTED, linestyle="--", linewidth=1)
    ax.xaxis.set_major_formatter("{x:.2%}")
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set_ylim(len(estimates) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    figures.set_labels(ax, x="clicks per impression")
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
