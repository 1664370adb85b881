"""Figure style of the report; reproducible and colour-blind safe."""

import io
import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito (2008) without yellow, which is too pale on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
INK, MUTED, FAINT = "#1F2933", "#52606D", "#E4E7EB"
DPI = 144


def create_axes(width: float = 6.4, height: float = 3.6) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure, [[ax]] = create_panels(1, 1, width, height)
    return figure, ax


def create_panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with rows x columns of axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    grid: list[list[Axes]] = figure.subplots(rows, columns, squeeze=False).tolist()
    for ax in (ax for row in grid for ax in row):
        _apply_style(ax)
    return figure, grid


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG without metadata; `savefig` would draw it a second time for its layout."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return stream.getvalue()


def draw_learning_curves(history: Mapping[str, Sequence[Sequence[float]]]) -> bytes:
    """Draw `{curve: [[step, value], …]}`, one panel per quantity."""
    quantities = sorted({name.removeprefix("validation_") for name in history})
    columns = min(3, len(quantities)) or 1
    rows = math.ceil(len(quantities) / columns) or 1
    figure, grid = create_panels(rows, columns, max(3.0 * columns, 4.2), 2.5 * rows)
    cells = [ax for row in grid for ax in row]
    for ax, quantity in zip(cells, quantities, strict=False):
        _draw_curves(ax, quantity, history)
    for ax in cells[len(quantities) :]:
        ax.set_axis_off()
    return to_png(figure)


def hide_axes(ax: Axes) -> None:
    """Remove ticks, lines and grid."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def set_labels(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Set the title and axis labels."""
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)


def add_legend(ax: Axes) -> None:
    """Add a legend without a frame."""
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)


def _apply_style(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelsize=8)
    ax.grid(visible=True, color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_prop_cycle(color=COLOURS)


def _draw_curves(ax: Axes, quantity: str, history: Mapping[str, Sequence[Sequence[float]]]) -> None:
    names = {"training": quantity, "validation": f"validation_{quantity}"}
    curves = {kind: history[name] for kind, name in names.items() if name in history}
    for kind, points in curves.items():
        steps, values = zip(*points, strict=True)
        ax.plot(steps, values, marker="o", markersize=3, linewidth=1.6, label=kind, color=COLOURS[kind == "validation"])
    title = quantity.replace("_", " ")
    set_labels(ax, title if len(curves) > 1 else f"{title} ({''.join(curves)})", x="steps")
    if len(curves) > 1:
        add_legend(ax)
