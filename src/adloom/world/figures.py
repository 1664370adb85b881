"""The figure of a played world."""

import numpy as np
from matplotlib.axes import Axes

from adloom.evaluation import figures
from adloom.world.results import Results

COLOURS = {"served": figures.COLOURS[0], "uniform": figures.MUTED}


def draw_results(results: Results) -> bytes:
    """Draw the regret, and estimates with their truth, over time, as PNG."""
    figure, [[top], [bottom]] = figures.create_panels(2, 1, 6.8, 6.4)
    _draw_regret(top, results)
    _draw_estimates(bottom, results)
    return figures.to_png(figure)


def _draw_regret(ax: Axes, results: Results) -> None:
    """Draw the clicks lost to the oracle over time; the area is what decisions gain over uniform ones."""
    regrets, hour = results.compute_regrets(), results.hour
    highest = max(regret[-1] for regret in regrets.values())
    ax.fill_between(hour, regrets["served"], regrets["uniform"], color=COLOURS["served"], alpha=0.12, linewidth=0)
    for name, regret in regrets.items():
        ax.plot(hour, regret, color=COLOURS[name], linewidth=1.8)
        label = f"{name} decisions\n{regret[-1]:,.0f} clicks lost"
        end, side = (hour[-1], regret[-1]), "bottom" if regret[-1] == highest else "top"
        ax.annotate(label, end, (6, 0), textcoords="offset points", va=side, color=COLOURS[name], fontsize=8)
    ax.set_xlim(hour[0], hour[-1])
    ax.set_ylim(0)
    title = f"Regret: clicks lost to the oracle, which gets {results.best.sum():,.0f} in {len(hour):,} impressions"
    figures.set_labels(ax, title, x="hours in the world", y="clicks lost so far")


def _draw_estimates(ax: Axes, results: Results) -> None:
    """Draw the rate of uniform decisions, estimated from the log so far with its 95 % interval, and the true one."""
    ends, estimates, truth = results.estimate_over_time()
    hour = results.hour[ends - 1]
    low, value, high = (100 * np.array([getattr(e, name) for e in estimates]) for name in ("low", "value", "high"))
    covered = (low <= 100 * truth) & (100 * truth <= high)
    ax.vlines(hour, low, high, color=COLOURS["served"], linewidth=1.6, alpha=0.6, label="95 % interval")
    ax.plot(hour, value, "o", color=COLOURS["served"], markersize=4, label="estimate from the log so far")
    ax.plot(hour, 100 * truth, color=COLOURS["uniform"], linewidth=1.8, label="truth")
    ax.set_xlim(results.hour[0], results.hour[-1] * 1.02)
    ax.set_ylim(0, 1.3 * high[len(high) // 4 :].max())
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")
    title = f"Click rate of uniform decisions: {covered.sum()} of {len(ends)} intervals cover the truth"
    figures.set_labels(ax, title, x="hours in the world", y="clicks per 100 impressions")
