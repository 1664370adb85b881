"""The comparison with baselines, and the count of contradictory labels."""

import numpy as np
import pandas as pd
import pytest
from tests.support import painted_pictures
from tests.support.painted_pictures import as_table
from tests.unit.creatives.test_search_evaluation import Reading

from adloom.config.params import Evaluate
from adloom.creatives import baseline_evaluation
from adloom.evaluation.metric import Table


@pytest.mark.slow
def test_the_reader_stands_beside_the_baselines() -> None:
    rows = painted_pictures.rows()
    evaluation = baseline_evaluation.evaluate(
        Reading, as_table(rows), ["squares", "stripes"], Evaluate(bootstraps=20, threads=1)
    )
    assert evaluation.metrics["random_forest_accuracy"].value == 1
    assert evaluation.metrics["random_forest_accuracy"].n == 12
    comparison, _ = evaluation.sections
    assert isinstance(comparison, Table)
    assert [row[0] for row in comparison.rows] == ["reader", "random forest", "logistic regression"]
    assert comparison.rows[1][2] == comparison.rows[0][1]  # divided by 1


def test_a_picture_in_two_categories_is_counted_once() -> None:
    rows = painted_pictures.rows()[:8]
    assert baseline_evaluation.count_contradictions(as_table(rows)).rows == [["none", 0]]
    images = rows["image"].tolist()
    twice = pd.concat([rows, rows[:3].assign(category=["stripes", "squares", "squares"])], ignore_index=True)
    assert len(set(images)) == 8
    table = baseline_evaluation.count_contradictions(as_table(twice))
    assert table.rows == [["squares, stripes", 2]]  # the third is in its own category again
    assert np.size(table.rows) == 2
