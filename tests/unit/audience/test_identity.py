"""Ids of segments: matched to the champion's by shared users."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.toy_shops import draw_features

from adloom.arrays import Float64Array
from adloom.audience import fit
from adloom.audience.identity import (
    ChampionSegments,
    Migration,
    is_same,
    name_segments,
    start_migration,
    trace_migration,
)
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.audience.stability import measure_refits
from adloom.config.audience import Segment


def segmenter(segments: int, noise: str | None = None) -> Segmenter:
    names = tuple(f"segment-{i + 1}" for i in range(segments))
    scale = FeatureScale(np.zeros(5), np.zeros(5), np.ones(5))
    return Segmenter(scale, np.zeros((segments, 5)), np.arange(segments), names, noise=noise)


def champion(segments: int, users: int = 0, last: int | None = None) -> ChampionSegments:
    names = tuple(f"segment-{i + 1}" for i in range(segments))
    return ChampionSegments("c" * 64, names, users, (), replace(start_migration(names), last_number=last or segments))


def match(old: list[int], new: list[int], segments: tuple[int, int], last: int | None = None) -> Migration:
    known, ours, theirs = champion(segments[0], last=last), np.array(new, np.int64), np.array(old, np.int64)
    named = name_segments(segmenter(segments[1]), theirs, ours, known)
    return trace_migration(named.names, theirs, ours, known)


def states(migration: Migration) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {change.segment: (change.state, change.sources) for change in migration.changes}


def test_the_first_segments_are_new() -> None:
    migration = start_migration(("segment-1", "segment-2"))
    assert states(migration) == {"segment-1": ("new", ()), "segment-2": ("new", ())}
    assert (migration.champion, migration.shared, migration.moved) == (None, 0, 0)


def test_other_numbers_for_the_same_users_change_nothing() -> None:
    old, new, known = np.array([0, 0, 1, 1, 2, 2]), np.array([2, 2, 0, 0, 1, 1]), champion(3)
    named = name_segments(segmenter(3, noise="segment-1"), old, new, known)
    assert named.names == ("segment-2", "segment-3", "segment-1")
    assert named.noise == "segment-2"
    migration = trace_migration(named.names, old, new, known)
    assert migration.moved == 0
    assert {change.state for change in migration.changes} == {"kept"}


def test_a_split_segment_keeps_its_id_where_most_users_are() -> None:
    migration = match([0] * 10 + [1] * 4, [0] * 6 + [1] * 4 + [2] * 4, (2, 3))
    assert states(migration) == {
        "segment-1": ("split", ("segment-1",)), "segment-3": ("split", ("segment-1",)),
        "segment-2": ("kept", ("segment-2",)),
    }  # fmt: skip
    assert [(f.old, f.new, f.users, f.share) for f in migration.flows] == [
        ("segment-1", "segment-1", 6, 0.6), ("segment-1", "segment-3", 4, 0.4), ("segment-2", "segment-2", 4, 1.0),
    ]  # fmt: skip
    assert (migration.shared, migration.moved) == (14, 4)


def test_merged_segments_keep_the_id_of_the_larger_and_the_other_is_gone() -> None:
    migration = match([0] * 3 + [1] * 5 + [2] * 2, [0] * 8 + [1] * 2, (3, 2))
    assert states(migration) == {
        "segment-2": ("merged", ("segment-1", "segment-2")), "segment-3": ("kept", ("segment-3",)),
        "segment-1": ("gone", ()),
    }  # fmt: skip


def test_a_segment_of_scattered_users_is_new_and_numbers_are_never_used_again() -> None:
    old, new = [0] * 9 + [1] * 9 + [2] * 9, ([0] * 6 + [3] * 3) + ([1] * 6 + [3] * 3) + ([2] * 6 + [3] * 3)
    migration = match(old, new, (3, 4), last=7)
    assert states(migration)["segment-8"] == ("new", ())
    assert migration.last_number == 8


def test_without_shared_users_all_segments_are_new() -> None:
    migration = match([], [], (2, 2))
    assert states(migration) == {
        "segment-3": ("new", ()), "segment-4": ("new", ()), "segment-1": ("gone", ()), "segment-2": ("gone", ()),
    }  # fmt: skip


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_any_relabelling_is_undone(order: list[int], segment: list[int]) -> None:
    old, new = np.array(segment), np.array(order)[segment]
    named = name_segments(segmenter(5), old, new, champion(5))
    assert list(np.array(named.names)[new]) == [f"segment-{i + 1}" for i in segment]
    assert trace_migration(named.names, old, new, champion(5)).moved == 0
    assert len(set(named.names)) == 5


def test_flows_of_few_users_are_not_published_but_counted() -> None:
    old, new = np.array([0] * 10 + [1] * 10), np.array([0] * 10 + [0] * 2 + [1] * 8)
    names = ("segment-1", "segment-2")
    migration = trace_migration(names, old, new, champion(2), smallest=3)
    assert [(flow.old, flow.users) for flow in migration.flows] == [("segment-1", 10), ("segment-2", 8)]
    assert migration.moved == 2
    assert trace_migration(names, old, new, champion(2), smallest=None).flows == ()


def test_a_migration_survives_its_file() -> None:
    migration = match([0, 0, 1], [0, 1, 1], (2, 2))
    assert Migration.from_json(migration.to_json()) == migration


def test_equal_partitions_are_the_same_whatever_their_names() -> None:
    old, known = np.array([0, 0, 1, 2]), champion(3, users=4)
    assert is_same(old, np.array([2, 2, 0, 1]), known, users=4)
    assert not is_same(old, np.array([2, 2, 0, 0]), known, users=4)
    assert not is_same(old, np.array([2, 2, 0, 1]), known, users=5)  # one user is new


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("kmeans", [3, 4, 5]),
        ("gaussian_mixture", [3, 4, 5]),
        ("agglomerative", [3, 4, 5]),
        ("dbscan", fit.RADIUS_QUANTILES),
        ("hdbscan", fit.CLUSTER_SHARES),
    ],
)
def test_users_keep_their_ids_unless_the_clustering_is_called_unstable(
    algorithm: str, settings: Sequence[float]
) -> None:
    """Another seed, other numbers of the segments, and a tenth of new users among the old ones."""
    params = Segment(min_segment_size=20, sample=1000)
    users = draw_features(3300)
    before = users[np.arange(3300) % 11 != 5]
    first = fit.fit_segmenters(before, algorithm, settings, params, seed=1)
    again = fit.fit_segmenters(users, algorithm, settings, params, seed=2)
    stability = measure_refits(before, first, algorithm, settings, params, seed=3).mean(axis=0)
    kept = np.array([keep(before, one, other) for one, other in zip(first, again, strict=True)])
    assert (kept[stability >= params.min_stability] >= 0.95).all()
    assert kept.max() >= 0.95


def keep(users: Float64Array, one: Segmenter, other: Segmenter) -> float:
    """Return the share of users with the same id in two segmenters, of which the second has other numbers."""
    segments = len(other.names)
    other = replace(other, segment=(other.segment + 1) % segments)
    named = name_segments(other, one.index(users), other.index(users), champion(len(one.names)))
    return float(np.mean(named.assign(users) == one.assign(users)))
