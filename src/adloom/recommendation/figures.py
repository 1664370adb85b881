"""The figure of the recommenders."""

from collections.abc import Mapping

import numpy as np

from adloom.arrays import Float64Array
from adloom.evaluation import figures
from adloom.recommendation.next_items import TOP, Cases, ndcg

EDGES = (0, 1, 3, 10, 30, 100)  # items of a history, the first of each group
LABELS = ("0", "1 to 2", "3 to 9", "10 to 29", "30 to 99", "100 or more")


def draw_by_history(ranks: Mapping[str, Float64Array], cases: Cases, titles: Mapping[str, str]) -> bytes:
    """Draw each model's NDCG by the number of items in the history as PNG."""
    group = np.searchsorted(EDGES, [len(history) for history in cases.histories], side="right") - 1
    shown = np.unique(group)
    figure, ax = figures.create_axes(8.0, 3.6)
    for (name, rank), colour in zip(ranks.items(), figures.COLOURS, strict=False):
        gains = [float(ndcg(rank[group == number]).mean()) for number in shown]
        ax.plot(range(len(shown)), gains, marker="o", color=colour, label=titles[name])
    ax.set_xticks(range(len(shown)), [f"{LABELS[number]}\nn = {(group == number).sum()}" for number in shown])
    ax.set_ylim(0, None)
    ax.legend(frameon=False)
    figures.set_labels(ax, "", x="items in the history", y=f"NDCG@{TOP}")
    return figures.to_png(figure)
