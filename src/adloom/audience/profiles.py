"""Profiles: each segment described in words for a marketer, by medians alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from adloom.arrays import Float64Array, Int64Array
from adloom.audience.segmenter import FEATURES

FREQUENCY, TENURE = FEATURES.index("frequency"), FEATURES.index("tenure_days")


@dataclass(frozen=True)
class Profile:
    """A segment; medians are in days, purchases and the currency of the data."""

    segment: str
    name: str
    users: int
    share: float  # of all users
    recency_days: float
    frequency: float
    monetary: float
    tenure_days: float
    interpurchase_days: float | None  # None when no user bought twice
    sentence: str

    def to_json(self) -> dict[str, str | float | None]:
        """Return the profile for profiles.json."""
        return asdict(self)


def describe_segments(features: Float64Array, segment: Int64Array, names: Sequence[str]) -> list[Profile]:
    """
    Return the profile of each segment that has users, in the order of names.

    features (users, 5), NaN where null; segment (users,) is an index into names. A segment's name compares its medians
    with the thirds of repeat buyers: Recent, Cooling or Lapsed; frequent, repeat or one-time; big, average or small
    spenders.
    """
    present = [i for i in range(len(names)) if (segment == i).any()]
    medians = [_rounded_medians(features[segment == i]) for i in present]
    thirds = _compute_thirds(features)
    titles = _distinguish_titles(
        [_compose_title(median[:3], thirds) for median in medians], [median[TENURE] for median in medians]
    )
    sizes = np.bincount(segment, minlength=len(names))
    return [
        _build_profile(names[i], title, int(sizes[i]), int(sizes[i]) / len(segment), median)
        for i, title, median in zip(present, titles, medians, strict=True)
    ]


def _build_profile(segment: str, name: str, users: int, share: float, median: Float64Array) -> Profile:
    recency, frequency, monetary, tenure, gap = (float(value) for value in median)
    purchases = "1 purchase" if frequency == 1 else f"{frequency:g} purchases"
    interval = "" if np.isnan(gap) else f", {gap:.0f} days between purchases where there was more than one"
    customers = f"{users:,} customer{'' if users == 1 else 's'}"
    sentence = (
        f"{customers} ({share:.0%}). Typically {purchases}, worth {monetary:,.2f} in all; the first {tenure:.0f} "
        f"and the last {recency:.0f} days ago{interval}."
    )
    interpurchase = None if np.isnan(gap) else gap
    return Profile(segment, name, users, round(share, 4), recency, frequency, monetary, tenure, interpurchase, sentence)


def _rounded_medians(features: Float64Array) -> Float64Array:
    """Return each feature's median (5,), rounded to hide exact values, NaN where always null."""
    columns = [column[~np.isnan(column)] for column in features.T]
    decimals = [2 if name == "monetary" else 1 for name in FEATURES]
    return np.array(
        [round(float(np.median(c)), d) if len(c) else np.nan for c, d in zip(columns, decimals, strict=True)]
    )


def _compute_thirds(features: Float64Array) -> Float64Array:
    """Return the lower and upper third of recency, frequency and money: (2, 3)."""
    repeat = features[features[:, FREQUENCY] > 1]
    users = repeat if len(repeat) else features
    return np.asarray(np.quantile(users[:, :3], [1 / 3, 2 / 3], axis=0), dtype=np.float64)


def _compose_title(median: Float64Array, thirds: Float64Array) -> str:
    recency, frequency, money = (_third_index(*values) for values in zip(median, *thirds, strict=True))
    recency_name = ("Recent", "Cooling", "Lapsed")[recency]
    frequency_name = "one-time" if median[FREQUENCY] == 1 else ("repeat", "repeat", "frequent")[frequency]
    spending_name = ("small", "average", "big")[money]
    return f"{recency_name} {frequency_name} {f'{spending_name} spenders' if thirds[1][2] else 'buyers'}"


def _third_index(value: float, low: float, high: float) -> int:
    """Return the third of a value: 0, 1 or 2, the lower one if bounds are equal."""
    return 0 if value <= low else 2 if value >= high else 1


def _distinguish_titles(titles: Sequence[str], tenures: Sequence[float]) -> list[str]:
    """Add the days since the first purchase, then a number, to equal titles."""
    shared = Counter(titles)
    longer = [
        f"{title}, first bought {tenure:.0f} days ago" if shared[title] > 1 else title
        for title, tenure in zip(titles, tenures, strict=True)
    ]
    number = [longer[: i + 1].count(title) for i, title in enumerate(longer)]
    return [f"{title} ({n})" if longer.count(title) > 1 else title for title, n in zip(longer, number, strict=True)]
