"""The report of segments: what a marketer reads, and what changed since the champion."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.toy_shops import features, shop

from adloom.audience import fit, profiles
from adloom.audience.diagnostics import measure_diagnostics
from adloom.audience.identity import ChampionSegments, trace_migration
from adloom.audience.model_selection import Candidate, to_json
from adloom.audience.report_sections import build_sections, tabulate_prediction
from adloom.audience.segmenter import Segmenter
from adloom.config.audience import Segment
from adloom.evaluation.metric import Figure, Metric, Section, Table

USERS = features(shop(120))
CANDIDATE = Candidate("kmeans", 3, 3, 3, 40, 0.6, 1.0, 0.9, 0.01, 2.5)
RATES = {
    name: Metric(value, value - 0.02, value + 0.02, 40, "share")
    for name, value in {"segment-1": 0.9, "segment-2": 0.1, "segment-4": 0.2, "all": 0.4}.items()
}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """Return the shop's groups: two have ids of the champion, one is new."""
    params = Segment(segments_min=3, segments_max=3, min_segment_size=5)
    [found] = fit.fit_segmenters(USERS, "kmeans", [3], params, seed=1)
    return replace(found, names=("segment-1", "segment-4", "segment-2"))


@pytest.fixture(scope="module")
def card(segmenter: Segmenter) -> dict[str, Any]:
    """Return a card with all details, read from JSON."""
    segment = segmenter.index(USERS)
    history = profiles.SegmentHistory(segment, segment, np.arange(120) % 3 == 0)
    last = [{"segment": "segment-1", "users": 20, "value_share": 0.5}]
    names = segmenter.names
    described = profiles.describe_segments([USERS], segment, segmenter, history, last)
    known = ChampionSegments("c" * 64, ("segment-1", "segment-2"), 80, (), None)
    fitted = [(replace(CANDIDATE, algorithm=name), segmenter) for name in ("kmeans", "agglomerative", "dbscan")]
    details = {
        "profiles": [profile.to_json() for profile in described],
        "migration": trace_migration(names, segment[:80] % 2, segment[:80], known).to_json(),
        "diagnostics": measure_diagnostics(USERS, fitted, 5),
        "candidates": [to_json(CANDIDATE) | {"verdict": "chosen"}],
        "rule": "The best.",
        "doubts": ["2 segments, expected 4 to 8"],
    }
    return json.loads(json.dumps(details))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def sections(segmenter: Segmenter, card: dict[str, Any]) -> list[Section]:
    """Return the sections."""
    return build_sections(segmenter, [USERS], segmenter.index(USERS), RATES, card)


def find_table(sections: list[Section], title: str) -> Table:
    return next(section for section in sections if isinstance(section, Table) and section.title == title)


def test_a_profile_has_its_lift_on_the_holdout_and_its_trend(sections: list[Section]) -> None:
    table = find_table(sections, "Profiles")
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [(row["segment"], row["lift"], row["trend"]) for row in rows] == [
        ("segment-1", 2.25, "+100%"), ("segment-4", 0.5, "new"), ("segment-2", 0.25, "new"),
    ]  # fmt: skip
    assert rows[0]["name"] == "Loyal, high value, recently active"
    words = find_table(sections, "Segments in words").rows[0]
    assert words[0] == "segment-1"
    assert str(words[1]).startswith("Loyal, high value, recently active. 40 customers (33%, ")


def test_doubts_come_first_and_only_where_there_are_some(
    sections: list[Section], segmenter: Segmenter, card: dict[str, Any]
) -> None:
    assert isinstance(sections[0], Table)
    assert sections[0].rows == [["2 segments, expected 4 to 8"]]
    certain = build_sections(segmenter, [USERS], segmenter.index(USERS), RATES, card | {"doubts": []})
    assert len(certain) == len(sections) - 1


def test_the_migration_names_states_and_users(sections: list[Section]) -> None:
    states = find_table(sections, "Segments since the champion")
    assert {str(row[1]) for row in states.rows} >= {"split"}
    flows = find_table(sections, "Customers since the champion")
    assert sum(int(row[2]) for row in flows.rows) == 80


def test_every_algorithm_has_its_picture(sections: list[Section]) -> None:
    pictures = {section.title: section.png for section in sections if isinstance(section, Figure)}
    assert {
        "K-Means: elbow and silhouette", "Agglomerative clustering: dendrogram", "DBSCAN and HDBSCAN: reachability",
        "Journeys between segments", "What distinguishes each segment",
    } <= pictures.keys()  # fmt: skip
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())


def test_an_artifact_of_an_older_version_has_a_report(segmenter: Segmenter, card: dict[str, Any]) -> None:
    old = {"candidates": card["candidates"]}
    sections = build_sections(segmenter, [USERS], segmenter.index(USERS), RATES, old)
    titles = [section.title for section in sections if isinstance(section, Table)]
    assert titles == ["Profiles", "Segments in words", "Clusterings compared"]


def test_predictors_that_were_not_measured_are_left_out() -> None:
    table = tabulate_prediction({"recency_auc": Metric(0.97, 0.96, 0.98, 100, "auc")})
    assert table.rows == [["days since the last purchase alone", 0.97, "0.960 to 0.980"]]
