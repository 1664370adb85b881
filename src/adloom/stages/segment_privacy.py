"""Protect the users behind segments before the stage `segment` writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.audience.privacy import (
    Reach,
    SensitiveColumn,
    describe_privately,
    measure_epsilon,
    protect,
    require_key,
)
from adloom.config.audience import Privacy
from adloom.data.privacy import key_fingerprint
from adloom.errors import ConfigError, DataError
from adloom.storage import manifest

if TYPE_CHECKING:
    import ibis

    from adloom.arrays import IntegerArray
    from adloom.audience.segmenter import Segmenter
    from adloom.audience.user_table import UserTable


def protect_segments(
    segmenter: "Segmenter", users: "UserTable", events: "ibis.Table", params: Privacy, scratch: Path
) -> "tuple[Segmenter, Reach]":
    """
    Return the segmenter without segments that must not be published, and the users that this costs.

    Raises ConfigError for a sensitive column that events lack, DataError when no segment is left.
    """
    if missing := [name for name in params.sensitive if name not in events.columns]:
        raise ConfigError(
            f"segment.privacy.sensitive: no column {', '.join(missing)} in events; it has {', '.join(events.columns)}"
        )
    sensitive = _read_sensitive(segmenter, users, events, params, scratch) if params.sensitive else []
    protected, reach = protect(segmenter, users, sensitive, params)
    if reach.lost == 1:
        raise DataError(
            f"events: no segment of {len(users)} users has {params.smallest} users and {params.diversity} values of "
            "each sensitive column; lower segment.privacy.k, preset or diversity"
        )
    return protected, reach


def _read_sensitive(
    segmenter: "Segmenter", users: "UserTable", events: "ibis.Table", params: Privacy, scratch: Path
) -> list[SensitiveColumn]:
    """Join the users' segments with their events by the engine of the events."""
    from adloom.audience.events import find_segment_values
    from adloom.audience.segmenter import FEATURES
    from adloom.audience.user_table import stack_features
    from adloom.storage import parquet

    shards = parquet.FullShardWriter(scratch, "segments")
    for batch in users.scan("user_id", *FEATURES):
        shards.append(batch[["user_id"]].assign(segment=segmenter.index(stack_features(batch))))
    shards.close()
    segments = events.get_backend().read_parquet(f"{scratch}/segments-*.parquet")
    return [SensitiveColumn(*find_segment_values(segments, events, name)) for name in params.sensitive]


def describe_noisily(
    draft: manifest.Draft,
    users: "UserTable",
    segment: "IntegerArray",
    names: Sequence[str],
    params: Privacy,
    key: bytes | None,
    events: Path,
) -> list[dict[str, Any]]:
    """
    Return noisy profiles as JSON, and note the key of the noise and the epsilon that they cost.

    Raises ConfigError without a key.
    """
    secret = require_key(params, key)
    draft.facts |= {"noise_key": key_fingerprint(secret), "epsilon": f"{measure_epsilon(params):.9g}"}
    return describe_privately(users, segment, names, params, secret, manifest.digest(events))
