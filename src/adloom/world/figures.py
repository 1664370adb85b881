"""The figure of a played world."""

from adloom.evaluation import figures
from adloom.world.results import Results

COLOURS = {"served": figures.COLOURS[0], "uniform": figures.MUTED}


def draw_regret(results: Results) -> bytes:
    """Draw the clicks lost to the oracle over time, as PNG; the area is what decisions gain over uniform ones."""
    figure, ax = figures.create_axes(6.8, 3.6)
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
    return figures.to_png(figure)
