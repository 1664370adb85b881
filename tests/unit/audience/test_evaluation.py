"""The evaluation of a segmenter on a shop of known truth."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.toy_shops import features, shop

from adloom.audience import fit
from adloom.audience.assignment import SUPPRESSED
from adloom.audience.evaluation import Card, evaluate
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.config.audience import Segment
from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation.intervals import bootstrap_difference
from adloom.evaluation.metric import Evaluation, Figure, Table
from adloom.evaluation.sections import render_files
from adloom.stages.user_files import write_below
from adloom.storage.table_scan import hold_rows

pytestmark = pytest.mark.slow

PARAMS = Segment(segments_min=3, segments_max=3, min_segment_size=20, bootstraps=4, sample=200)
JUDGE = Evaluate(bootstraps=50)
CANDIDATE = {
    "algorithm": "kmeans", "setting": 3.0, "segments": 3, "early_segments": 3, "smallest": 80, "silhouette": 0.7,
    "stability": 1.0, "auc": None, "auc_error": None, "verdict": "chosen",
}  # fmt: skip
CARD: Card = {"params": PARAMS.model_dump(mode="json"), "chosen": CANDIDATE, "candidates": [CANDIDATE]}


def measure(segmenter: Segmenter, rows: pd.DataFrame, card: Card = CARD) -> Evaluation:
    with tempfile.TemporaryDirectory() as scratch:
        return evaluate(segmenter, hold_rows(rows), card, JUDGE, write_below(Path(scratch), len(rows)))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Return the shop's events."""
    return shop(240)


@pytest.fixture(scope="module")
def segmenter(rows: pd.DataFrame) -> Segmenter:
    """Return the shop's three groups."""
    return fit.fit_segmenters(features(rows), "kmeans", [3], PARAMS, seed=1)[0]


@pytest.fixture(scope="module")
def evaluation(rows: pd.DataFrame, segmenter: Segmenter) -> Evaluation:
    """Return the evaluation of the right segmenter."""
    return measure(segmenter, rows)


def test_the_metrics_are_those_of_the_known_groups(evaluation: Evaluation) -> None:
    values = {name: metric.value for name, metric in evaluation.metrics.items()}
    assert set(values) == {
        *("silhouette", "stability_ari", "segment_rate_auc", "smallest_segment", "segments", "segment_churn"),
        *("recency_auc", "boosting_auc", "auc_gap"),
    }
    best = max(values["recency_auc"], values["boosting_auc"])
    assert values["auc_gap"] == pytest.approx(best - values["segment_rate_auc"])
    assert values["segment_churn"] == 0  # without a champion
    assert (values["segments"], values["smallest_segment"], values["stability_ari"]) == (3, 80, 1)
    assert values["segment_rate_auc"] == pytest.approx(0.88, abs=0.06)  # 90 % of a third against 10 % of two
    assert all(metric.low <= metric.value <= metric.high for metric in evaluation.metrics.values())


def test_the_smallest_segment_is_a_published_one(rows: pd.DataFrame, segmenter: Segmenter) -> None:
    last = segmenter.index(features(rows)) == 2
    few = pd.Series(last, sorted(rows["user_id"].unique())).loc[lambda is_last: is_last].index[5:]
    private = replace(segmenter, names=(*segmenter.names[:2], SUPPRESSED))
    metrics = measure(private, rows[~rows["user_id"].isin(few)]).metrics
    assert (metrics["segments"].value, metrics["smallest_segment"].value) == (2, 80)


def test_the_report_shows_profiles_figures_and_every_candidate(evaluation: Evaluation) -> None:
    tables = [section for section in evaluation.sections if isinstance(section, Table)]
    assert [table.title for table in tables] == [
        *("Prediction compared", "Profiles", "Segments in words", "Clusterings compared"),
        "Conversions and value",
    ]
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)
    assert tables[3].rows[0][-1] == "chosen"
    pictures = [section.png for section in evaluation.sections if isinstance(section, Figure)]
    assert len(pictures) == 4
    assert all(png.startswith(b"\x89PNG") for png in pictures)


def test_evaluating_twice_gives_the_same(evaluation: Evaluation, rows: pd.DataFrame, segmenter: Segmenter) -> None:
    again = measure(segmenter, rows.sample(frac=1, random_state=0))
    assert render_files(again) == render_files(evaluation)


def test_a_worse_segmenter_loses_when_both_see_the_same_users(evaluation: Evaluation, rows: pd.DataFrame) -> None:
    lump = Segmenter(FeatureScale.fit(features(rows)), np.zeros((1, 5)), np.zeros(1, np.int64), ("segment-1",))
    worse = measure(lump, rows)
    assert worse.metrics["segment_rate_auc"].value == 0.5
    assert "silhouette" not in worse.metrics  # one segment has none
    difference = bootstrap_difference(evaluation.samples["segment_rate_auc"], worse.samples["segment_rate_auc"], 50, 1)
    assert difference.low > 0.2


def test_moved_users_are_a_share_of_the_champions(rows: pd.DataFrame, segmenter: Segmenter) -> None:
    card = dict(CARD) | {"migration": {"champion": "c" * 64, "shared": 200, "moved": 30, "changes": [], "flows": []}}
    churn = measure(segmenter, rows, card).metrics["segment_churn"]
    assert (churn.value, churn.n, churn.unit) == (0.15, 200, "share")


def test_a_holdout_without_buyers_has_no_auc(rows: pd.DataFrame, segmenter: Segmenter) -> None:
    evaluation = measure(segmenter, rows[rows["split"] == "calibration"])
    assert "segment_rate_auc" not in evaluation.metrics
    assert evaluation.metrics["segments"].value == 3


def test_without_calibration_there_is_nothing_to_measure(rows: pd.DataFrame, segmenter: Segmenter) -> None:
    with pytest.raises(DataError, match=r"^events: 0 users with a 'purchase' in the calibration period"):
        measure(segmenter, rows[rows["split"] == "holdout"])
