"""
Score new tables with the champions: segments for the users of events, categories for pictures, in data/scored.

The artifact holds segments-*.parquet (user_id, segment) and readings-*.parquet (creative_id, category, probability).
Its manifest names the version and the digest of each champion. Skipped tables are not scored.

Example: adloom score --events s3://shop/prepared/events --creatives s3://shop/prepared/creatives --scored s3://shop/scored
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
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

STAGE = "score"

ScoreTable = Callable[[Path, Path, Score, Path], "Iterable[pd.DataFrame]"]
"""(prepared table, champion, params, scratch folder) -> chunks of scored rows"""


@dataclass(frozen=True)
class Inputs:
    """Prepared tables."""

    creatives: Path = Path("data/dataset/creatives")
    events: Path = Path("data/dataset/events")


@dataclass(frozen=True)
class Outputs:
    """The result."""

    scored: Path = Path("data/scored")


def run(inputs: Inputs, outputs: Outputs, params: Score, context: StageContext) -> Mapping[str, float]:
    """
    Score each table with its champion.

    Raises UserError without a champion, DataError when the pictures have another shape than the reader's.
    """
    tasks: dict[str, tuple[Path, str, ScoreTable]] = {
        "segments": (inputs.events, "audience", _score_events),
        "readings": (inputs.creatives, "cnn", _score_pictures),
    }
    present = {name: task for name, task in tasks.items() if not manifest.skip_reason(task[0])}
    if not present:
        manifest.skip(
            outputs.scored, STAGE, params, "; ".join(str(manifest.skip_reason(t)) for t, *_ in tasks.values())
        )
        return {}
    tables = {"creatives": inputs.creatives, "events": inputs.events}
    with manifest.draft(outputs.scored, STAGE, params, tables) as draft:
        draft.environment.update(context.kernels)
        for name, task in present.items():
            _write_scores(name, *task, draft, params, context)
    return {name: float(count) for name, count in draft.rows.items()}


def _write_scores(
    name: str,
    table: Path,
    model: str,
    score_table: ScoreTable,
    draft: manifest.Draft,
    params: Score,
    context: StageContext,
) -> None:
    from adloom.storage import parquet

    manifest.verify(table)
    shards = parquet.FullShardWriter(draft.path, name)
    with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
        version, champion = base.fetch_champion(context.registry, model, Path(folder) / model)
        for rows in score_table(table, champion, params, Path(folder)):
            shards.append(rows)
            draft.rows[name] = draft.rows.get(name, 0) + len(rows)
    shards.close()
    draft.facts |= {f"{model}_version": str(version.version), f"{model}_digest": version.digest}


def _score_events(table: Path, champion: Path, params: Score, scratch: Path) -> "Iterator[pd.DataFrame]":
    """Yield user_id and segment of every user with a purchase, at the end of the last event's day."""
    import pandas as pd

    from adloom.audience.events import count_events, find_period
    from adloom.audience.features import select_features
    from adloom.audience.segmenter import FEATURES, Segmenter
    from adloom.audience.user_table import stack_features
    from adloom.stages.user_files import write_below
    from adloom.storage.table_scan import scan_table

    events = scan_table(table)
    if not (rows := count_events(events)):
        raise DataError("events: 0 rows to score; check score.events")
    as_of, purchase = find_period(events)[1], read_card(champion)["params"]["purchase"]
    segmenter = Segmenter.load(champion / "segmenter.npz")
    yield pd.DataFrame({"user_id": [], "segment": []}, dtype="str")  # so that no users are an empty table
    users = write_below(scratch, rows)(select_features(events, as_of, purchase), "users")
    for batch in users.scan("user_id", *FEATURES):
        yield batch[["user_id"]].assign(segment=segmenter.assign(stack_features(batch)))


def _score_pictures(table: Path, champion: Path, params: Score, _scratch: Path) -> "list[pd.DataFrame]":
    """Return creative_id, the predicted category and its probability."""
    import numpy as np
    import pandas as pd

    from adloom.creatives.inference import read_pictures
    from adloom.onnx_models.runtime import Reader
    from adloom.stages.creative_rows import open_creatives

    creatives, card, reader = open_creatives(table), read_card(champion), Reader(champion, params.threads)
    rows = creatives.rows
    if rows.empty:
        raise DataError("creatives: 0 rows to score; check score.creatives")
    image = card["image"]
    expected = image["channels"], image["height"], image["width"]
    if (actual := creatives.shape) != expected:
        raise DataError(f"creatives: pictures of {actual}, the reader wants {expected}; set prepare.picture_size")
    probabilities, _ = read_pictures(reader, creatives.decode_batches(np.arange(len(rows))))
    category = np.array(card["categories"])[probabilities.argmax(axis=1)]
    scores = {"creative_id": rows["creative_id"], "category": category, "probability": probabilities.max(axis=1)}
    return [pd.DataFrame(scores)]
