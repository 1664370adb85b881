"""Figures: the same bytes each time, nothing in them but pixels, and a panel for each quantity."""

import io

import pytest
from PIL import Image

from adloom.evaluation import figures

HISTORY = {"loss": [[10.0, 1.0], [20.0, 0.5]], "validation_loss": [[10.0, 1.1], [20.0, 0.7]], "accuracy": [[10.0, 0.5]]}


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.info.keys() <= {"dpi"}  # no software, no time
        return image.size


def test_equal_numbers_give_equal_bytes() -> None:
    assert figures.draw_learning_curves(HISTORY) == figures.draw_learning_curves(HISTORY)


@pytest.mark.slow
@pytest.mark.parametrize("quantities", [1, 2, 3, 4])
def test_a_panel_for_each_quantity_in_rows_of_three(quantities: int) -> None:
    history = {f"quantity_{number}": [[1.0, 2.0]] for number in range(quantities)}
    width, height = size(figures.draw_learning_curves(history))
    assert width == int(figures.DPI * max(3 * min(quantities, 3), 4.2))
    assert height == figures.DPI * 2.5 * (2 if quantities > 3 else 1)


def test_a_validation_curve_shares_its_training_curves_panel() -> None:
    both = {name: HISTORY[name] for name in ("loss", "validation_loss")}
    assert size(figures.draw_learning_curves(both)) == size(figures.draw_learning_curves({"loss": HISTORY["loss"]}))


def test_an_empty_history_is_an_empty_figure() -> None:
    assert size(figures.draw_learning_curves({}))
