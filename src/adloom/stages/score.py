"""
Put the champions to work: segments for the users of new events, categories for new pictures, left as data/scored.

The artifact holds segments-*.parquet (user_id, segment) and readings-*.parquet (creative_id, category, probability).
Its manifest names the version and the digest of each champion. A table that was skipped is not scored.

Example: adloom score --events s3://shop/prepared/events --creatives s3://shop/prepared/creatives --scored s3://shop/scored
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import Score
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.registry import base
from adloom.stages.measure import read_card
from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.onnx_models.runtime import Reader

STAGE = "score"
BATCH = 512  # pictures read at once

Work = Callable[[Path, Path, Score], "pd.DataFrame"]  # (prepared table, champion, params) -> scored rows


@dataclass(frozen=True)
class Inputs:
    """Prepared tables."""

    creatives: Path = Path("data/dataset/creatives")
    events: Path = Path("data/dataset/events")


@dataclass(frozen=True)
class Outputs:
    """Where the result goes."""

    scored: Path = Path("data/scored")


def run(inputs: Inputs, outputs: Outputs, params: Score, context: StageContext) -> Mapping[str, float]:
    """
    Score each table with its champion.

    Raises UserError when a champion is missing, DataError when the pictures are not as the reader wants them.
    """
    works: dict[str, tuple[Path, str, Work]] = {
        "segments": (inputs.events, "audience", _segments),
        "readings": (inputs.creatives, "cnn", _readings),
    }
    given = {name: work for name, work in works.items() if not manifest.skip_reason(work[0])}
    if not given:
        manifest.skip(
            outputs.scored, STAGE, params, "; ".join(str(manifest.skip_reason(t)) for t, *_ in works.values())
        )
        return {}
    tables = {"creatives": inputs.creatives, "events": inputs.events}
    with manifest.draft(outputs.scored, STAGE, params, tables) as made:
        made.environment.update(context.kernels)
        for name, work in given.items():
            _score(name, *work, made, params, context)
    return {name: float(count) for name, count in made.rows.items()}


def _score(
    name: str, table: Path, model: str, work: Work, made: manifest.Draft, params: Score, context: StageContext
) -> None:
    from adloom.storage import parquet

    manifest.verify(table)
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        version, champion = base.fetch_champion(context.registry, model, Path(place) / model)
        rows = work(table, champion, params)
    parquet.write(rows, made.path, name)
    made.rows[name] = len(rows)
    made.facts |= {f"{model}_version": str(version.version), f"{model}_digest": version.digest}


def _segments(table: Path, champion: Path, params: Score) -> "pd.DataFrame":
    """Return user_id and segment of every user with a purchase, as of the end of the last event's day."""
    import pandas as pd

    from adloom.audience.features import compute_features, find_period_end, to_matrix
    from adloom.audience.segmenter import Segmenter
    from adloom.storage import parquet

    events = parquet.read(table)
    if events.empty:
        raise DataError("events: 0 rows to score; check score.events")
    users = compute_features(events, find_period_end(events), read_card(champion)["params"]["purchase"])
    segmenter = Segmenter.load(champion / "segmenter.npz")
    return pd.DataFrame({"user_id": users["user_id"], "segment": segmenter.assign(to_matrix(users))})


def _readings(table: Path, champion: Path, params: Score) -> "pd.DataFrame":
    """Return creative_id, and the category the reader takes each picture for, with its probability."""
    import pandas as pd

    from adloom.creatives.table import picture_shape
    from adloom.onnx_models.runtime import Reader
    from adloom.storage import parquet

    rows, known, reader = parquet.read(table), read_card(champion), Reader(champion, params.threads)
    if rows.empty:
        raise DataError("creatives: 0 rows to score; check score.creatives")
    image = known["image"]
    if (found := picture_shape(rows)) != (wanted := (image["channels"], image["height"], image["width"])):
        raise DataError(f"creatives: pictures of {found}, the reader wants {wanted}; set prepare.picture_size")
    parts = [
        _read(rows[start : start + BATCH], known["categories"], wanted, reader) for start in range(0, len(rows), BATCH)
    ]
    return pd.concat(parts, ignore_index=True)


def _read(rows: "pd.DataFrame", categories: list[str], shape: tuple[int, int, int], reader: "Reader") -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    from adloom.creatives import pictures

    probabilities = reader(pictures.to_floats(pictures.decode_pngs(rows["image"].tolist(), *shape))).probabilities
    category = np.array(categories)[probabilities.argmax(axis=1)]
    return pd.DataFrame(
        {"creative_id": rows["creative_id"], "category": category, "probability": probabilities.max(axis=1)}
    )
