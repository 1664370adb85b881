"""Figures of pictures and of reading them, for the report."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from adloom.arrays import AnyArray, Float32Array, UInt8Array
from adloom.evaluation import figures

INCH = 0.62  # edge of a picture on the page
GAP = 2  # white pixels between pictures
READABLE = 20  # categories up to which a matrix has numbers in its cells


def draw_rows(rows: Sequence[tuple[str, UInt8Array]], scale: float = 1) -> bytes:
    """Draw one row of pictures per (label, pictures), `scale` times as large as usual."""
    longest = max(len(pictures) for _, pictures in rows)
    inch = scale * INCH
    figure, grid = figures.create_panels(len(rows), 1, 1.6 + inch * longest, inch * len(rows) + 0.1)
    for [ax], (label, pictures) in zip(grid, rows, strict=True):
        figures.hide_axes(ax)
        edge = pictures.shape[3] + GAP
        spaced = np.pad(pictures, ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=255)
        _show_picture(ax, np.concatenate(list(spaced), axis=2))
        ax.set_xlim(-0.5, longest * edge - 0.5)
        ax.set_anchor("W")
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, color=figures.INK)
    return figures.to_png(figure)


def draw_pairs(upper: UInt8Array, lower: UInt8Array, labels: Sequence[str], names: tuple[str, str]) -> bytes:
    """Draw pictures above pictures, a label below each pair; `names` label the rows."""
    columns = len(labels)
    figure, grid = figures.create_panels(2, columns, 0.9 + 1.05 * columns, 2.5)
    for row, (pictures, name) in enumerate(zip((upper, lower), names, strict=True)):
        for column in range(columns):
            ax = grid[row][column]
            figures.hide_axes(ax)
            _show_picture(ax, pictures[column])
            figures.set_labels(ax, x=labels[column] if row else "", y="" if column else name)
            ax.xaxis.label.set_fontsize(8)
    return figures.to_png(figure)


def draw_captioned(
    pictures: UInt8Array, captions: Sequence[str], columns: int = 8, heat: Float32Array | None = None
) -> bytes:
    """Draw pictures with a caption below each, and `heat` (pictures, rows, columns) over each."""
    rows = -(-len(captions) // columns)
    figure, grid = figures.create_panels(rows, columns, 1.15 * columns, 1.6 * rows)
    cells = [ax for row in grid for ax in row]
    for ax in cells:
        figures.hide_axes(ax)
    for ax, picture, caption in zip(cells, pictures, captions, strict=False):
        _show_picture(ax, picture)
        ax.set_xlabel(caption, fontsize=7, color=figures.INK)
    if heat is not None:
        extent = (-0.5, pictures.shape[3] - 0.5, pictures.shape[2] - 0.5, -0.5)
        for ax, values in zip(cells, heat, strict=False):
            ax.imshow(values, cmap="inferno", alpha=0.55, extent=extent, interpolation="bilinear")
    return figures.to_png(figure)


def draw_histograms(panels: Sequence[tuple[str, dict[str, AnyArray], float | None]]) -> bytes:
    """Draw a panel of histograms for each (unit, {name: values}, threshold)."""
    figure, [row] = figures.create_panels(1, len(panels), 4.2 * len(panels), 3.0)
    for ax, (unit, groups, threshold) in zip(row, panels, strict=True):
        edges = np.linspace(0, max(float(values.max()) for values in groups.values()), 60)
        for values, (name, colour) in zip(groups.values(), zip(groups, figures.COLOURS, strict=False), strict=True):
            weights = np.full(len(values), 1 / len(values))
            ax.hist(
                values, edges.tolist(), weights=weights, histtype="stepfilled", alpha=0.45, color=colour, label=name
            )
        if threshold is not None:
            ax.axvline(threshold, color=figures.COLOURS[3], linewidth=1.4, label="threshold")
        figures.set_labels(ax, x=unit, y="share of pictures")
        figures.add_legend(ax)
    return figures.to_png(figure)


def draw_confusion(counts: AnyArray, categories: Sequence[str]) -> bytes:
    """Draw how often each true category (row) was read as each (column)."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.2 + 0.48 * len(categories)
    figure, ax = figures.create_axes(size + 0.6, size)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.grid(visible=False)
    ax.set_xticks(range(len(categories)), categories, rotation=45, ha="right")
    ax.set_yticks(range(len(categories)), categories)
    figures.set_labels(ax, x="read as", y="is")
    if len(categories) <= READABLE:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                colour = "white" if share > 0.5 else figures.INK
                ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    return figures.to_png(figure)


def draw_reliability(confidence: AnyArray, accuracy: AnyArray, share: AnyArray) -> bytes:
    """Draw accuracy by confidence per bin (bins,); areas show the share of rows."""
    figure, ax = figures.create_axes(4.4, 4.0)
    ax.plot([0, 1], [0, 1], color=figures.MUTED, linewidth=1, linestyle="--", label="as often right as it says")
    ax.scatter(confidence, accuracy, s=8 + 600 * share, color=figures.COLOURS[0], alpha=0.6)
    ax.set_xlim(0, 1.05)
    ax.set_ylim(0, 1.05)
    figures.set_labels(ax, x="stated confidence", y="share that is right")
    figures.add_legend(ax)
    return figures.to_png(figure)


def _show_picture(ax: Axes, picture: UInt8Array) -> None:
    """Show (channels, height, width)."""
    image = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
