"""
Profiles: each segment described for a marketer, in absolute numbers and compared with all customers.

A word such as "recent" or "loyal" needs both: the segment differs from the others, and its own median says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array, IntegerArray
from adloom.audience.exact_sums import sum_groups
from adloom.audience.medians import find_medians
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.user_table import pair_rows

RECENCY, FREQUENCY, MONETARY, TENURE, INTERPURCHASE = range(len(FEATURES))
RECENT_DAYS, SILENT_DAYS, LAPSED_DAYS, NEW_DAYS, LOYAL_DAYS = 90, 90, 365, 90, 180
LOYAL_PURCHASES = 3
SMALL_EFFECT, MEDIUM_EFFECT = 0.2, 0.5  # of Cohen's d (1988)
LARGEST_EFFECT = 10.0  # shown; without spread inside the groups it is infinite
HIGH_VALUE, LOW_VALUE = 1.5, 1 / 1.5  # of the share of value over the share of customers
_DETAILS = (
    "last bought {:.0f} days ago",
    "{:g} purchases",
    "spent {:,.2f}",
    "first bought {:.0f} days ago",
    "buys every {:.0f} days",
)


@dataclass(frozen=True)
class Profile:
    """A segment; medians are in days, purchases and money."""

    segment: str
    name: str
    users: int
    share: float  # of all users
    recency_days: float | None
    frequency: float | None
    monetary: float | None
    tenure_days: float | None
    interpurchase_days: float | None  # None when no user bought twice; any of them is None when it is private
    sentence: str
    value_share: float | None = None  # of what all users spent; None without money
    purchases_per_customer: float | None = None  # mean
    value_per_customer: float | None = None  # mean, less refunds; None without money
    effects: Mapping[str, float] | None = None  # Cohen's d of each feature, on its scale, from all other users
    lift: float | None = None  # of later purchases over all users, in the last third of the calibration period
    journey: Mapping[str, float] | None = None  # segments of its users of two thirds of the period: shares now
    trend: Mapping[str, float] | None = None  # change since the champion's segment of this id: users and value_share
    currency: str | None = None  # of money; None where the events do not state it

    def to_json(self) -> dict[str, Any]:
        """Return the profile for profiles.json."""
        return asdict(self)


@dataclass(frozen=True)
class SegmentHistory:
    """Users with a purchase in the first two thirds of the calibration period."""

    early: Int64Array  # (users,) their segment at that time
    now: IntegerArray  # (users,) their segment at the end
    bought: BoolArray  # (users,) whether they bought in between
    smallest: int = 1  # users that a published number is about


def describe_segments(
    batches: Iterable[Float64Array],
    segment: IntegerArray,
    segmenter: Segmenter,
    history: SegmentHistory | None = None,
    previous: Sequence[Mapping[str, Any]] = (),
    currency: str | None = None,
) -> list[Profile]:
    """
    Return the profile of each segment that has users, in the order of the segmenter's names.

    Batches have features (users, 5), NaN where null, and are read four times; segment (users,) is an index into the
    names; previous are the champion's profiles.
    """
    names, noise = segmenter.names, segmenter.noise
    smallest = history.smallest if history else 1
    all_groups = _measure_groups(batches, segment, segmenter, smallest)
    everyone = _round_medians(find_medians(batches, np.zeros_like(segment), 1))[0]
    present = [i for i, group in enumerate(all_groups) if group.users]
    groups = [all_groups[i] for i in present]
    titles = [
        f"Unusual, {title.lower()}" if names[i] == noise else title.capitalize()
        for i, title in zip(present, map(_compose_title, groups), strict=True)
    ]
    titles = _distinguish_titles(titles, [group.median for group in groups])
    last = {str(profile["segment"]): profile for profile in previous}
    return [
        Profile(
            segment=names[i],
            name=title,
            users=group.users,
            share=group.share,
            value_share=group.value_share,
            purchases_per_customer=group.purchases,
            value_per_customer=None if group.value_share is None else group.value,
            **{name: None if np.isnan(x) else x for name, x in zip(FEATURES, group.median.tolist(), strict=True)},
            effects=dict(zip(FEATURES, group.effect.tolist(), strict=True)),
            sentence=_compose_sentence(group, everyone, currency),
            lift=_measure_lift(history, i),
            journey=_describe_journey(history, i, names),
            trend=_compare(group, last.get(names[i])),
            currency=currency,
        )
        for i, title, group in zip(present, titles, groups, strict=True)
    ]


@dataclass(frozen=True)
class _Group:
    """The measurements of one segment."""

    users: int
    share: float
    value_share: float | None
    purchases: float  # per user
    value: float  # per user
    median: Float64Array  # (5,)
    effect: Float64Array  # (5,)


def _measure_groups(
    batches: Iterable[Float64Array], segment: IntegerArray, segmenter: Segmenter, smallest: int
) -> list[_Group]:
    """Return the measurements of each segment, also of those without users."""
    groups, worth = len(segmenter.names), [FREQUENCY, MONETARY]
    parts = ((b, segmenter.scale(b), part) for b, part in pair_rows(batches, segment))
    columns = ((np.hstack([np.ones((len(b), 1)), b[:, worth], s, s * s]), part) for b, s, part in parts)
    sums = sum_groups(columns, groups, 3 + 2 * len(FEATURES))
    users, purchases, value = sums[:, :3].T
    scaled, squares = np.split(sums[:, 3:], 2, axis=1)
    medians = _round_medians(find_medians(batches, segment, groups, smallest))
    total, size = value.sum(), users.sum()
    return [
        _Group(
            users=int(users[i]),
            share=round(float(users[i] / size), 4),
            value_share=round(float(value[i] / total), 4) if total > 0 else None,
            purchases=round(float(purchases[i] / max(users[i], 1)), 2),
            value=round(float(value[i] / max(users[i], 1)), 2),
            median=medians[i],
            effect=_measure_effects(users, scaled, squares, i),
        )
        for i in range(groups)
    ]


def _compose_title(group: _Group) -> str:
    """Return the traits that distinguish a segment: loyalty, value, and how lately it bought."""
    traits = [
        _name_loyalty(group.median, group.effect),
        "" if group.value_share is None else _name_value(group.value_share / group.share),
        _name_recency(group.median, group.effect),
    ]
    return ", ".join(trait for trait in traits if trait)


def _name_loyalty(median: Float64Array, effect: Float64Array) -> str:
    if median[TENURE] <= NEW_DAYS and effect[TENURE] <= -MEDIUM_EFFECT:
        return "new"
    if median[FREQUENCY] == 1:
        return "one-time"
    if median[FREQUENCY] >= LOYAL_PURCHASES and effect[FREQUENCY] >= MEDIUM_EFFECT:
        return "loyal" if median[TENURE] >= LOYAL_DAYS else "frequent"
    return "repeat"


def _name_value(index: float) -> str:
    return "high value" if index >= HIGH_VALUE else "low value" if index <= LOW_VALUE else "average value"


def _name_recency(median: Float64Array, effect: Float64Array) -> str:
    if median[RECENCY] > LAPSED_DAYS:
        return f"last bought {median[RECENCY]:.0f} days ago"
    if median[RECENCY] <= RECENT_DAYS and effect[RECENCY] <= -SMALL_EFFECT:
        return "recently active"
    is_silent = median[RECENCY] > SILENT_DAYS and effect[RECENCY] >= SMALL_EFFECT
    return "" if not is_silent else "lately silent" if median[FREQUENCY] > 1 else "not seen again"


def _distinguish_titles(titles: Sequence[str], medians: Sequence[Float64Array]) -> list[str]:
    """Add to equal titles the median that differs most between them, then a number."""
    longer = list(titles)
    for title in set(titles):
        same = [i for i, other in enumerate(titles) if other == title]
        if len(same) > 1:
            logs = np.log1p(np.array([medians[i] for i in same]))
            feature = int(np.nan_to_num(logs.max(axis=0) - logs.min(axis=0), nan=-1.0).argmax())
            for i in same:
                longer[i] = f"{title}, {_DETAILS[feature].format(medians[i][feature])}"
    number = [longer[: i + 1].count(title) for i, title in enumerate(longer)]
    return [f"{title} ({n})" if longer.count(title) > 1 else title for title, n in zip(longer, number, strict=True)]


def _compose_sentence(group: _Group, everyone: Float64Array, currency: str | None) -> str:
    """Describe a segment by its medians, with those of all customers in brackets."""
    median, gap = group.median, group.median[INTERPURCHASE]
    value = "" if group.value_share is None else f", {group.value_share:.0%} of what all spent"
    interval = "" if np.isnan(gap) else f", {gap:.0f} days between purchases where there was more than one"
    unit = f" {currency}" if currency else ""
    customers = f"{group.users:,} customer{'' if group.users == 1 else 's'} ({group.share:.0%}{value})"
    purchases = f"{median[FREQUENCY]:g} purchase{'' if median[FREQUENCY] == 1 else 's'} ({everyone[FREQUENCY]:g})"
    return (
        f"{customers}. Typically the last purchase is {median[RECENCY]:.0f} days ago (all customers: "
        f"{everyone[RECENCY]:.0f}), the first {median[TENURE]:.0f} ({everyone[TENURE]:.0f}); {purchases}, worth "
        f"{median[MONETARY]:,.2f}{unit} ({everyone[MONETARY]:,.2f}) in all{interval}."
    )


def _measure_effects(users: Float64Array, scaled: Float64Array, squares: Float64Array, one: int) -> Float64Array:
    """
    Return Cohen's d of each feature between the users inside and outside a segment (5,).

    users (segments,), scaled and squares (segments, 5) are numbers of users and sums of scaled features and squares.
    """
    size = users.sum()
    if users[one] in (0, size):
        return np.zeros(scaled.shape[1])
    here = users[one], scaled[one], squares[one]
    there = size - users[one], scaled.sum(axis=0) - scaled[one], squares.sum(axis=0) - squares[one]
    within = sum(square - total**2 / count for count, total, square in (here, there))
    deviation: Float64Array = np.sqrt(np.maximum(within, 0.0) / max(size - 2, 1))
    difference: Float64Array = here[1] / here[0] - there[1] / there[0]
    effects = np.where(np.abs(difference) > 1e-9, difference / np.maximum(deviation, 1e-9), 0.0)
    return np.round(np.clip(effects, -LARGEST_EFFECT, LARGEST_EFFECT), 2)


def _measure_lift(history: SegmentHistory | None, segment: int) -> float | None:
    if history is None or not history.bought.any() or (history.early == segment).sum() < history.smallest:
        return None
    return round(float(history.bought[history.early == segment].mean() / history.bought.mean()), 2)


def _describe_journey(history: SegmentHistory | None, segment: int, names: Sequence[str]) -> dict[str, float] | None:
    if history is None or (history.early == segment).sum() < history.smallest:
        return None
    now = np.bincount(history.now[history.early == segment], minlength=len(names))
    shown = [(name, count) for name, count in zip(names, now, strict=True) if count >= max(history.smallest, 1)]
    return {name: round(float(count / now.sum()), 4) for name, count in shown}


def _compare(group: _Group, last: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the changes since the champion's profile of the same segment."""
    if last is None:
        return None
    change = {"users": round(group.users / last["users"] - 1, 4)}
    if group.value_share is not None and last.get("value_share") is not None:
        change["value_share"] = round(group.value_share - last["value_share"], 4)
    return change


def _round_medians(medians: Float64Array) -> Float64Array:
    """Round the medians (groups, 5) to hide exact values."""
    decimals = [2 if name == "monetary" else 1 for name in FEATURES]
    return np.stack([np.round(column, d) for column, d in zip(medians.T, decimals, strict=True)], axis=1)
