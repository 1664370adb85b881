"""Agreement and accuracy by attribute, with a generator and a reader of known faults."""

import numpy as np
import pandas as pd
import pytest
from tests.support.painted_pictures import as_table
from tests.unit.creatives.test_gan_evaluation import table

from adloom.arrays import Float32Array
from adloom.config.params import Evaluate
from adloom.creatives import attribute_evaluation, pictures
from adloom.creatives.conditions import ConditionSpace
from adloom.evaluation.metric import Figure, Table

PARAMS = Evaluate(bootstraps=20, threads=1, gan_samples=100)
SPACE = ConditionSpace(["dark", "light"], {"tone": ["high", "low"], "side": ["left", "right"]})
SHADES = {"high": 200, "low": 50}


class Painter:
    """Paints the tone asked for, and always the left side."""

    latent = 3

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        drawn = np.zeros((len(z), 1, 28, 28), np.uint8)
        drawn[:, :, :, :14] = np.where(condition[:, 2] > 0, 200, 50)[:, None, None, None]
        return pictures.to_floats(drawn)


class ToneReader:
    """Reads the tone from the lightest pixel, and the side from the lighter half."""

    def read_attributes(self, picture: Float32Array) -> Float32Array:
        high = picture.max((1, 2, 3)) > 0
        left = picture[:, :, :, :14].mean((1, 2, 3)) >= picture[:, :, :, 14:].mean((1, 2, 3))
        return np.stack([high, ~high, left, ~left], 1).astype(np.float32)


ROWS = table(train=40, test=20).assign(
    attr_tone=["low", "high"] * 30, attr_side=pd.Series(["left", "right", None] * 20)
)  # the table's pictures are dark, light, dark, …


def test_agreement_is_the_share_of_pictures_that_show_the_value_asked_for() -> None:
    evaluation = attribute_evaluation.evaluate_generator(Painter(), ToneReader(), as_table(ROWS), SPACE, PARAMS)
    values = {name: (metric.value, metric.n) for name, metric in evaluation.metrics.items()}
    assert values == {"attribute_agreement.tone": (1, 50), "attribute_agreement.side": (0.5, 50)}
    agreement, figure = evaluation.sections
    assert isinstance(agreement, Table)
    assert agreement.rows[2:] == [["side", "left", 25, 1.0], ["side", "right", 25, 0.0]]
    assert isinstance(figure, Figure)


def test_accuracy_counts_the_test_pictures_that_have_the_attribute() -> None:
    evaluation = attribute_evaluation.evaluate_reader(ToneReader(), as_table(ROWS), SPACE, PARAMS)
    assert evaluation.metrics["attribute_accuracy.tone"].n == 20
    assert evaluation.metrics["attribute_accuracy.side"].n == 13
    assert evaluation.metrics["attribute_accuracy.tone"].value == pytest.approx(0.5)  # noise reaches the lightest pixel
