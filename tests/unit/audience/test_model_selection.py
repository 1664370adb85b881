"""The selection rule as a table, and the measurements of a toy shop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.toy_shops import shop

from adloom.audience import model_selection
from adloom.audience.model_selection import Candidate, choose, explain_verdict
from adloom.config.audience import Segment
from adloom.errors import DataError
from adloom.stages.user_files import write_below
from adloom.storage.table_scan import hold_rows

PARAMS = Segment(segments_min=4, segments_max=8, min_stability=0.8)
PLAIN = Candidate("kmeans", 4, 4, 4, 200, 0.3, 0.9, 0.75, 0.01)


def candidate(algorithm: str, segments: int, stability: float, auc: float | None) -> Candidate:
    error = None if auc is None else 0.01
    return replace(
        PLAIN,
        algorithm=algorithm,
        setting=segments,
        segments=segments,
        early_segments=segments,
        stability=stability,
        auc=auc,
        auc_error=error,
    )


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([candidate("kmeans", 4, 0.9, 0.70), candidate("kmeans", 6, 0.9, 0.75), candidate("kmeans", 8, 0.9, 0.755)], 1),
        (
            [candidate("kmeans", 4, 0.9, 0.746), candidate("kmeans", 8, 0.9, 0.755)],
            0,
        ),  # fewer, within one standard error
        ([candidate("kmeans", 4, 0.9, 0.744), candidate("kmeans", 8, 0.9, 0.755)], 1),
        ([candidate("kmeans", 5, 0.9, 0.75), candidate("dbscan", 5, 0.95, 0.745)], 1),  # as few: the more stable
        ([candidate("kmeans", 4, 0.9, 0.70), candidate("kmeans", 6, 0.79, 0.80)], 0),  # unstable ones do not count
        ([candidate("kmeans", 4, 0.3, 0.70), candidate("kmeans", 6, 0.5, 0.60)], 1),  # none is stable: the most stable
        (
            [candidate("kmeans", 4, 0.9, 0.70), candidate("dbscan", 12, 0.9, 0.80), candidate("dbscan", 2, 1, 0.8)],
            0,
        ),  # out of range
        (
            [candidate("dbscan", 1, 1.0, 0.5), candidate("dbscan", 3, 0.9, 0.7)],
            1,
        ),  # none in range: two segments or more
        ([candidate("kmeans", 6, 0.95, None), candidate("kmeans", 4, 0.9, None)], 1),  # no AUC tells them apart: fewest
    ],
)
def test_the_rule(candidates: list[Candidate], chosen: int) -> None:
    assert choose(candidates, PARAMS) == candidates[chosen]


def test_the_champions_setting_stays_within_two_standard_errors() -> None:
    best, champion = candidate("kmeans", 4, 0.9, 0.755), candidate("gaussian_mixture", 8, 0.9, 0.737)
    known = (champion.algorithm, champion.setting)
    assert choose([best, champion], PARAMS, known) == champion
    assert choose([best, replace(champion, auc=0.73)], PARAMS, known) == best
    assert choose([best, replace(champion, stability=0.5)], PARAMS, known) == best


def test_an_auc_of_another_number_of_segments_does_not_count() -> None:
    borrowed = replace(candidate("dbscan", 4, 0.9, 0.80), early_segments=7)
    honest = candidate("kmeans", 6, 0.9, 0.75)
    assert choose([borrowed, honest], PARAMS) == honest
    assert explain_verdict(borrowed, honest, PARAMS) == "7 segments in the early fit"


def test_clusterings_of_as_many_segments_as_asked_for_come_before_others() -> None:
    """The AUC of neither counts, so stability decides, but only among those with enough segments."""
    enough = replace(candidate("kmeans", 4, 0.9, 0.70), early_segments=5)
    too_few = candidate("dbscan", 2, 1.0, 0.9)
    assert choose([too_few, enough], PARAMS) == enough
    assert model_selection.explain_doubts(enough, [too_few, enough], PARAMS) == []


def test_too_few_segments_are_explained() -> None:
    candidates = [candidate("kmeans", 2, 0.9, 0.7), candidate("dbscan", 1, 1.0, 0.5)]
    [doubt] = model_selection.explain_doubts(choose(candidates, PARAMS), candidates, PARAMS)
    assert doubt.startswith(
        "2 segments, expected 4 to 8: no clustering keeps as many of at least 100 users (kmeans 2: 2,"
    )
    assert doubt.endswith("lower segment.min_segment_size or segment.segments_min")


def test_too_little_stability_is_explained() -> None:
    unstable = candidate("kmeans", 4, 0.61, 0.7)
    [doubt] = model_selection.explain_doubts(unstable, [unstable], PARAMS)
    assert doubt.startswith("stability 0.61, expected at least segment.min_stability 0.8")


def test_params_say_which_measure_ranks_the_stable() -> None:
    separate = replace(candidate("kmeans", 6, 0.85, 0.70), silhouette=0.6)
    predictive, stable = candidate("kmeans", 5, 0.9, 0.80), candidate("kmeans", 8, 0.95, 0.70)
    candidates = [separate, predictive, stable]
    by_measure = {"silhouette": separate, "auc": predictive, "stability": stable}
    for measure, best in by_measure.items():
        params = Segment(min_stability=0.8, select_by=measure)  # type: ignore[arg-type]
        assert choose(candidates, params) == best
        assert measure.replace("auc", "AUC") in model_selection.describe_rule(params)
        others = {explain_verdict(other, best, params) for other in candidates if other != best}
        assert others == {f"lower {measure.replace('auc', 'AUC')}"}


def test_one_segment_is_no_segmentation() -> None:
    with pytest.raises(DataError, match=r"^segment: none of 1 clusterings has two segments of 100 users; lower "):
        choose([candidate("dbscan", 1, 1.0, 0.5)], PARAMS)


def test_verdicts_say_why() -> None:
    chosen = candidate("kmeans", 5, 0.9, 0.75)
    others = [
        candidate("kmeans", 4, 0.9, 0.70),
        candidate("kmeans", 6, 0.9, 0.755),
        candidate("kmeans", 8, 0.5, 0.76),
        candidate("dbscan", 2, 1.0, 0.7),
    ]
    assert explain_verdict(chosen, chosen, PARAMS) == "chosen"
    assert [explain_verdict(other, chosen, PARAMS) for other in others] == [
        "lower AUC",
        "more segments, less stable, or not the champion's",
        "stability below 0.8",
        "not 4 to 8 segments",
    ]


@pytest.mark.slow
def test_a_toy_shop_is_measured(tmp_path: Path) -> None:
    rows = shop(240)
    params = Segment(
        algorithms=["kmeans"], segments_min=3, segments_max=4, min_segment_size=20, bootstraps=3, sample=200
    )
    events = hold_rows(rows[rows["split"] == "calibration"])
    data = model_selection.build_calibration(events, "purchase", 1, write_below(tmp_path, len(rows)))
    assert len(data.users) == 240
    ticks: list[int] = []
    measured = model_selection.measure_stability(
        model_selection.fit_candidates(data, params), data, params, lambda: ticks.append(1)
    )
    assert len(ticks) == params.bootstraps
    best, segmenter = measured[0]
    assert (best.segments, best.smallest, best.setting) == (3, 80, 3)
    assert best.stability == 1
    assert best.silhouette is not None
    assert best.silhouette > 0.5
    assert best.auc is not None
    assert best.auc > 0.8  # in the last third of 2025 only regulars buy
    assert best.lift == pytest.approx(3)  # a third of the users
    assert best.noise == 0
    assert segmenter.names == ("segment-1", "segment-2", "segment-3")
    history = model_selection.trace_history(data, segmenter, np.arange(240) % 3, 1)
    assert history.now.tolist() == [number % 3 for number in range(240)]
    assert history.bought[history.now == 0].all()


@pytest.mark.slow
def test_without_later_purchases_there_is_no_auc(tmp_path: Path) -> None:
    rows = shop(90)
    early = rows[rows["timestamp"] < "2025-01-20"]
    early = early[early.groupby("user_id").cumcount() == 0]
    events = hold_rows(early.assign(timestamp=early["timestamp"].min()))
    data = model_selection.build_calibration(events, "purchase", 1, write_below(tmp_path, len(rows)))
    assert not data.bought.any()
    params = Segment(algorithms=["kmeans"], segments_min=2, segments_max=2, min_segment_size=5, bootstraps=2)
    [(candidate, segmenter)] = model_selection.fit_candidates(data, params)
    assert candidate.auc is None
    misfit = replace(candidate, setting=3, segments=3)  # it cannot be chosen, so it is not fitted again
    measured = model_selection.measure_stability([(candidate, segmenter), (misfit, segmenter)], data, params)
    assert [c.stability is None for c, _ in measured] == [False, True]
