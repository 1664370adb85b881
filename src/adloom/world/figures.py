"""The figure of a played world."""

from adloom.evaluation import figures
from adloom.world.results import Results


def draw_regret(results: Results) -> bytes:
    """Draw the clicks lost to the oracle over time, as PNG."""
    figure, ax = figures.create_axes(6.4, 3.6)
    colours = {"served": figures.COLOURS[0], "uniform": figures.MUTED}
    for name, regret in results.compute_regrets().items():
        ax.plot(results.hour, regret, color=colours[name], linewidth=1.8, label=f"{name} decisions")
    figures.set_labels(ax, "Clicks lost to the oracle", x="hours in the world", y="clicks")
    figures.add_legend(ax)
    return figures.to_png(figure)
