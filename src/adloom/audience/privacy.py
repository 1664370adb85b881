"""
Privacy of what leaves the segments: small groups are merged or hidden, and profiles may be noisy.

k-anonymity (Sweeney 2002): a published segment or cell is about k users at least. l-diversity (Machanavajjhala et al.
2007): the users of a published segment have l different values of a sensitive column. Differential privacy (Dwork et
al. 2006) hides whether one user is among the data.
"""

import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adloom.arrays import Float64Array, Int64Array, IntegerArray
from adloom.audience.assignment import SUPPRESSED
from adloom.audience.clusters import find_neighbour
from adloom.audience.exact_sums import sum_groups
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.user_table import pair_rows
from adloom.config.audience import Privacy
from adloom.errors import ConfigError

BOUNDS = {  # of a user's features in noisy means; public, so that they reveal nothing
    "recency_days": 36_500.0,
    "frequency": 10_000.0,
    "monetary": 1_000_000.0,
    "tenure_days": 36_500.0,
    "interpurchase_days": 36_500.0,
}
OPTIONAL = "interpurchase_days"  # some users lack this feature, so its mean needs a count of its own
CELLS = ("users", *(f"sum {name}" for name in FEATURES), f"count {OPTIONAL}")  # of a segment; they share epsilon
STEPS = 1000  # of a logarithm per unit, so that sums are exact integers
_UNIFORM_BITS = 128


@dataclass(frozen=True)
class SensitiveColumn:
    """The values that the users of each segment have in a sensitive column."""

    segment: Int64Array  # (pairs,) index of a segment
    codes: Int64Array  # (pairs,) number of one of its users' values


@dataclass(frozen=True)
class Reach:
    """The cost of privacy: users with a merged or suppressed segment."""

    merged: Mapping[str, str]  # segment: the one that it became part of
    merged_users: int
    suppressed: tuple[str, ...]  # segments
    suppressed_users: int
    lost: float  # share of all users that no published segment reaches


def find_weak(
    sizes: Int64Array, mapping: Int64Array, sensitive: Sequence[SensitiveColumn], params: Privacy
) -> Int64Array:
    """
    Return the segments with users that must not be published, the smallest first.

    sizes (segments,) are their users; mapping (segments,) has the segment that each one is part of now.
    """
    is_weak = (sizes > 0) & (sizes < params.smallest)
    for column in sensitive:
        pairs = np.unique(np.stack([mapping[column.segment], column.codes]), axis=1)
        values = np.bincount(pairs[0], minlength=len(sizes))
        is_weak |= (sizes > 0) & (values > 0) & (values < params.diversity)
    weak = np.flatnonzero(is_weak)
    return weak[np.argsort(sizes[weak], kind="stable")]


def merge_weak(
    sizes: Int64Array, scaled: Float64Array, sensitive: Sequence[SensitiveColumn], params: Privacy
) -> tuple[Int64Array, dict[int, int], int]:
    """
    Merge each weak segment into the nearest other, until none is left or all users are in one.

    sizes (segments,) and scaled (segments, features) are numbers of users and sums of their scaled features. Return the
    segment that each is part of in the end (segments,), that which each merged one joined, and the number of its users.
    """
    mapping, merged, moved = np.arange(len(sizes)), dict[int, int](), 0
    sizes, scaled = sizes.copy(), scaled.copy()
    while len(weak := find_weak(sizes, mapping, sensitive, params)) and np.count_nonzero(sizes) > 1:
        one, others = int(weak[0]), np.setdiff1d(np.flatnonzero(sizes), weak[:1])
        means = {int(i): scaled[i] / sizes[i] for i in (one, *others)}
        into = merged[one] = find_neighbour(means, one, others)
        moved += int(sizes[one])
        mapping[mapping == one] = into
        for sums in (sizes, scaled):
            sums[into] += sums[one]
            sums[one] = 0
    return mapping, merged, moved


def protect(
    segmenter: Segmenter, batches: Iterable[Float64Array], sensitive: Sequence[SensitiveColumn], params: Privacy
) -> tuple[Segmenter, Reach]:
    """
    Return the segmenter without weak segments, and the cost; batches have the features of users (users, 5).

    Weak segments are merged if params say so. Those that are left, or a last one, have the name SUPPRESSED together,
    after the others.
    """
    sizes, scaled = _sum_segments(segmenter, batches)
    mapping, merged, moved = np.arange(len(sizes)), dict[int, int](), 0
    if params.small_segments == "merge":
        mapping, merged, moved = merge_weak(sizes, scaled, sensitive, params)
    sizes = np.bincount(mapping, sizes, len(sizes)).astype(np.int64)
    weak = find_weak(sizes, mapping, sensitive, params)
    kept = np.setdiff1d(mapping, weak)
    names = [segmenter.names[i] for i in kept]
    final = np.full(len(sizes), len(kept))
    final[kept] = np.arange(len(kept))
    renamed = replace(
        segmenter,
        segment=final[mapping][segmenter.segment],
        names=(*names, SUPPRESSED) if len(weak) else tuple(names),
        noise=segmenter.noise if segmenter.noise in names else None,
    )
    hidden, lost = tuple(segmenter.names[i] for i in sorted(weak)), int(sizes[weak].sum())
    joined = {segmenter.names[one]: segmenter.names[into] for one, into in merged.items()}
    return renamed, Reach(joined, moved, hidden, lost, lost / max(int(sizes.sum()), 1))


def _sum_segments(segmenter: Segmenter, batches: Iterable[Float64Array]) -> tuple[Int64Array, Float64Array]:
    """Return the number of users (segments,) and the sums of their scaled features (segments, 5)."""
    parts = ((np.insert(segmenter.scale(batch), 0, 1.0, axis=1), segmenter.index(batch)) for batch in batches)
    sums = sum_groups(parts, len(segmenter.names), 1 + len(FEATURES))
    return sums[:, 0].astype(np.int64), sums[:, 1:]


def describe_privately(
    batches: Iterable[Float64Array],
    segment: IntegerArray,
    names: Sequence[str],
    params: Privacy,
    key: bytes,
    content: str,
) -> list[dict[str, Any]]:
    """
    Return profiles of segments from noisy counts and means; each release costs params.epsilon.

    Batches have features (users, 5), NaN where null; segment (users,) is an index into names. `content` identifies the
    data. A mean is that of logarithms, so a few huge customers count little.
    """
    exact = {name: dict.fromkeys(CELLS, 0) for name in names if name != SUPPRESSED}
    for features, part in pair_rows(batches, segment):
        for i in np.unique(part):
            if names[i] != SUPPRESSED:
                more = sum_cells(features[part == i])
                exact[names[i]] = {cell: n + more[cell] for cell, n in exact[names[i]].items()}
    noisy = add_noise(exact, params, key, content)
    total = sum(max(cells["users"], 0) for cells in noisy.values())
    return [_describe_noisy(name, cells, total, params.smallest) for name, cells in noisy.items()]


def sum_cells(features: Float64Array) -> dict[str, int]:
    """Return the exact CELLS of the users of a segment (users, 5): counts, and sums of logarithms."""
    logs = np.log1p(np.clip(features, 0, list(BOUNDS.values())))
    sums = np.nansum(np.rint(logs * STEPS), axis=0).astype(np.int64).tolist()
    count = int((~np.isnan(features[:, FEATURES.index(OPTIONAL)])).sum())
    return dict(zip(CELLS, (len(features), *sums, count), strict=True))


def add_noise(
    exact: Mapping[str, Mapping[str, int]], params: Privacy, key: bytes, content: str
) -> dict[str, dict[str, int]]:
    """
    Return cells by segment with noise that is a keyed function of them all.

    Equal data have equal noise, so repeated releases average nothing out. Other data have unrelated noise.
    """
    release = hashlib.sha256(json.dumps([content, exact, params.epsilon]).encode()).hexdigest()
    return {
        name: {
            cell: n + draw_noise(key, f"{release} {name} {cell}", find_scale(cell, params)) for cell, n in cells.items()
        }
        for name, cells in exact.items()
    }


def draw_noise(key: bytes, message: str, scale: float) -> int:
    """
    Return discrete Laplace noise of this scale (Ghosh et al. 2009), a function of key and message.

    Without the key it cannot be told from chance. It is the difference of two geometric numbers.
    """
    first, second = (
        math.floor(-scale * math.log((int.from_bytes(digest[:16]) + 1) / 2**_UNIFORM_BITS))
        for digest in (hmac.digest(key, f"adloom noise {i} {message}".encode(), "sha256") for i in (1, 2))
    )
    return first - second


def find_scale(cell: str, params: Privacy) -> float:
    """Return the scale of a cell's noise. A user is in one segment, so its CELLS share epsilon."""
    return _find_sensitivity(cell) * len(CELLS) / (params.epsilon or math.inf)


def measure_epsilon(params: Privacy) -> float:
    """Return the epsilon of a release by OpenDP's account of its cells."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    domain, metric = dp.atom_domain(T=int), dp.absolute_distance(T=int)
    mechanisms: list[tuple[Any, int]] = [
        (dp.m.make_laplace(domain, metric, scale=find_scale(cell, params)), _find_sensitivity(cell)) for cell in CELLS
    ]
    return float(sum(mechanism.map(sensitivity) for mechanism, sensitivity in mechanisms))


def require_key(params: Privacy, key: bytes | None) -> bytes:
    """Return the key of the noise. Raises ConfigError without one."""
    if key is None:
        raise ConfigError(
            f"segment.privacy.epsilon {params.epsilon:g}: the noise needs a secret key; set ADLOOM_PSEUDONYM_KEY, "
            "`openssl rand -hex 32` makes one"
        )
    return key


def _find_sensitivity(cell: str) -> int:
    """Return the most that one user changes a cell."""
    part, _, name = cell.partition(" ")
    return math.ceil(math.log1p(BOUNDS[name]) * STEPS) if part == "sum" else 1


def _describe_noisy(name: str, cells: Mapping[str, int], total: int, smallest: int) -> dict[str, Any]:
    """Return a profile from noisy cells alone; numbers about fewer users than `smallest` are None."""
    users = max(cells["users"], 0)
    counts = {feature: cells[f"count {OPTIONAL}"] if feature == OPTIONAL else users for feature in FEATURES}
    typical = {
        feature: _to_typical_value(cells[f"sum {feature}"] / count, BOUNDS[feature]) if count >= smallest else None
        for feature, count in counts.items()
    }
    share = round(users / total, 4) if total else 0.0
    sentence = f"About {users:,} customers ({share:.0%}); numbers have noise that hides single customers."
    return {"segment": name, "name": name, "users": users, "share": share, **typical, "sentence": sentence}


def _to_typical_value(mean: float, bound: float) -> float:
    """Return the value that a mean logarithm, in STEPS, stands for."""
    return round(math.expm1(min(max(mean / STEPS, 0.0), math.log1p(bound))), 2)
