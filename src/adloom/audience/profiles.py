"""Profiles: what the users of a segment have in common, in words for a marketer, by medians alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from adloom.audience.segmenter import FEATURES, Floats, Ints


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

    def as_json(self) -> dict[str, str | float | None]:
        """Return the profile for profiles.json."""
        return asdict(self)


def describe(features: Floats, segment: Ints, names: Sequence[str]) -> list[Profile]:
    """
    Return the profile of each segment that has users, in the order of names.

    features (users, 5), NaN where null; segment (users,) is an index into names. A segment's name compares its medians
    with the thirds of all users: Recent, Cooling or Lapsed by recency; one-time (median of 1), frequent (above two
    thirds of the users) or repeat by frequency; big (above two thirds), small (below) or average spenders by money.
    """
    thirds = np.nanquantile(features[:, :3], [1 / 3, 2 / 3], axis=0)  # (2, 3)
    present = [i for i in range(len(names)) if (segment == i).any()]
    medians = [_medians(features[segment == i]) for i in present]
    titles = _distinct([_title(median[:3], thirds) for median in medians])
    sizes = np.bincount(segment, minlength=len(names))
    return [
        _profile(names[i], title, int(sizes[i]), int(sizes[i]) / len(segment), median)
        for i, title, median in zip(present, titles, medians, strict=True)
    ]


def _profile(segment: str, name: str, users: int, share: float, median: Floats) -> Profile:
    recency, frequency, monetary, tenure, gap = (float(value) for value in median)
    times = "1 purchase" if frequency == 1 else f"{frequency:g} purchases"
    every = "" if np.isnan(gap) else f", {gap:.0f} days between purchases where there was more than one"
    sentence = (
        f"{users:,} customers ({share:.0%}). Typically {times}, worth {monetary:,.2f} in all; the first {tenure:.0f} "
        f"and the last {recency:.0f} days ago{every}."
    )
    interpurchase = None if np.isnan(gap) else gap
    return Profile(segment, name, users, round(share, 4), recency, frequency, monetary, tenure, interpurchase, sentence)


def _medians(features: Floats) -> Floats:
    """Return the median of each feature (5,), rounded so that it is nobody's exact value; NaN where always null."""
    known = [column[~np.isnan(column)] for column in features.T]
    decimals = [2 if name == "monetary" else 1 for name in FEATURES]
    return np.array([round(float(np.median(c)), d) if len(c) else np.nan for c, d in zip(known, decimals, strict=True)])


def _title(median: Floats, thirds: Floats) -> str:
    (low_recency, _, low_money), (high_recency, high_frequency, high_money) = thirds
    recency, frequency, money = median
    lately = "Recent" if recency <= low_recency else "Lapsed" if recency > high_recency else "Cooling"
    often = "one-time" if frequency == 1 else "frequent" if frequency > high_frequency else "repeat"
    much = "big" if money > high_money else "small" if money < low_money else "average"
    return f"{lately} {often} {f'{much} spenders' if high_money else 'buyers'}"


def _distinct(titles: list[str]) -> list[str]:
    """Number the titles that several segments share, from the most valuable."""
    seen: Counter[str] = Counter()
    shared = Counter(titles)
    numbered = []
    for title in titles:
        seen[title] += 1
        numbered.append(f"{title} {seen[title]}" if shared[title] > 1 else title)
    return numbered
