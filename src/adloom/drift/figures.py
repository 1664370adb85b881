"""The pictures of a comparison."""

from collections.abc import Sequence

from adloom.drift.click_rate import ClickRates
from adloom.drift.detection import DriftFinding
from adloom.evaluation import figures

MOST = 20  # features in a picture
LEAST = 0.001  # effect at which the axis begins
ALARM = figures.COLOURS[3]


def draw_effects(findings: Sequence[DriftFinding], min_psi: float) -> bytes:
    """Draw the population stability index of each feature, as PNG."""
    shown = sorted(findings, key=lambda finding: finding.effect)[-MOST:]
    figure, ax = figures.create_axes(6.4, 1.0 + 0.28 * len(shown))
    names = [f"{finding.table}: {finding.feature}" for finding in shown]
    colours = [ALARM if finding.is_alarm else figures.COLOURS[0] for finding in shown]
    bars = ax.barh(names, [max(finding.effect, LEAST) for finding in shown], color=colours, height=0.62)
    ax.bar_label(bars, [f"{finding.effect:.2g}" for finding in shown], padding=3, fontsize=7, color=figures.MUTED)
    ax.axvline(max(min_psi, LEAST), color=figures.MUTED, linestyle="--", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_xlim(LEAST, 3 * max(1.0, *(finding.effect for finding in shown)))
    ax.grid(visible=False, axis="y")
    figures.set_labels(ax, x="population stability index")
    return figures.to_png(figure)


def draw_click_rates(rates: ClickRates) -> bytes:
    """Draw the click rates of both periods, as PNG."""
    figure, ax = figures.create_axes(6.4, 2.0)
    points = {"reference, observed": rates.reference, "current, estimated without clicks": rates.estimated}
    if rates.observed is not None:
        points["current, observed"] = rates.observed
    for row, (name, value) in enumerate(reversed(points.items())):
        ax.plot(100 * value, row, "o", color=figures.COLOURS[0] if "estimated" not in name else figures.COLOURS[1])
    row = list(reversed(points)).index("current, estimated without clicks")
    ax.hlines(row, 100 * rates.low, 100 * rates.high, color=figures.COLOURS[1], linewidth=2)
    ax.set_yticks(range(len(points)), list(reversed(points)))
    ax.set_ylim(-0.6, len(points) - 0.4)
    ax.set_xlim(left=0)
    figures.set_labels(ax, x="clicks per 100 impressions (bar: 95 % interval)")
    return figures.to_png(figure)
