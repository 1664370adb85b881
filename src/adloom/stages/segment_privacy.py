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
    import pandas as pd

    from adloom.arrays import Float64Array, Int64Array
    from adloom.audience.segmenter import Segmenter


def protect_segments(
    segmenter: "Segmenter", features: "Float64Array", users: "pd.Series", events: "ibis.Table", params: Privacy
) -> "tuple[Segmenter, Reach]":
    """
    Return the segmenter without segments that must not be published, and the users that this costs.

    Raises ConfigError for a sensitive column that events lack, DataError when no segment is left.
    """
    from adloom.audience.events import find_values

    if missing := [name for name in params.sensitive if name not in events.columns]:
        raise ConfigError(
            f"segment.privacy.sensitive: no column {', '.join(missing)} in events; it has {', '.join(events.columns)}"
        )
    sensitive = [SensitiveColumn(*find_values(users, events, name)) for name in params.sensitive]
    protected, reach = protect(segmenter, features, sensitive, params)
    if reach.lost == 1:
        raise DataError(
            f"events: no segment of {len(features)} users has {params.smallest} users and {params.diversity} values of "
            "each sensitive column; lower segment.privacy.k, preset or diversity"
        )
    return protected, reach


def describe_noisily(
    draft: manifest.Draft,
    features: "Float64Array",
    segment: "Int64Array",
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
    return describe_privately(features, segment, names, params, secret, manifest.digest(events))
