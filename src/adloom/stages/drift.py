"""
Compare recent tables with those that the models learned from, and report what has drifted, in reports/drift.

A folder has the prepared tables events, impressions and creatives, or is one of them; impressions may also come from
`adloom log to-impressions`. The champions assign segments and read pictures; without one, these are not compared. The
artifact holds drift.json and report.html.

Example: adloom drift data/dataset data/recent
"""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.config.drift import Drift
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.registry import champion_copy
from adloom.stages.creative_rows import open_creatives
from adloom.stages.measure import read_card
from adloom.storage import manifest, parquet
from adloom.storage.base import describe_missing

if TYPE_CHECKING:
    from adloom.arrays import Int64Array
    from adloom.drift.click_rate import ClickRates
    from adloom.drift.detection import Detection
    from adloom.drift.features import Feature
    from adloom.drift.impressions import ImpressionPeriod
    from adloom.drift.models import CreativeFeatures, UserFeatures

STAGE = "drift"
PAGE = "report.html"
RESULT = "drift_result"  # tag of a run in MLflow: JSON for metrics
MAX_EFFECTS = 50  # in it, alarms and the smallest p-values first
COLUMNS = {"impressions": "impression_id", "events": "event", "creatives": "image"}  # table: a column that only it has
MIN_ROWS = 50  # of a table in a period
MAX_PICTURES = 2_000  # of a period; others are left out at random
MAX_USERS = 100_000
SEED = 7  # of these choices


@dataclass(frozen=True)
class Inputs:
    """The tables of two periods."""

    reference: Path
    current: Path


@dataclass(frozen=True)
class Outputs:
    """The result."""

    report: Path = Path("reports/drift")


@dataclass
class ComparedTables:
    """The features that have been compared so far."""

    params: Drift
    models: Mapping[str, Path]  # the champions
    features: "list[Feature]" = field(default_factory=list)
    click_rates: "ClickRates | None" = None
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def has_enough(self, table: str, reference: int, current: int) -> bool:
        """Record the rows of a table, and return whether both periods have enough."""
        self.rows[table] = reference, current
        if (fewer := min(reference, current)) < MIN_ROWS:
            self.skipped[table] = f"{fewer} rows in a period, expected at least {MIN_ROWS}"
        return fewer >= MIN_ROWS


def run(inputs: Inputs, outputs: Outputs, params: Drift, context: StageContext) -> Mapping[str, float | str]:
    """Compare the tables that both folders have. Raises DataError if there is none."""
    from adloom.drift.detection import detect

    reference, current = find_tables(inputs.reference), find_tables(inputs.current)
    tables = sorted(reference.keys() & current.keys())
    if not tables:
        raise DataError(
            f"{inputs.reference} has {', '.join(reference) or 'no table'}, {inputs.current} has "
            f"{', '.join(current) or 'no table'}; expected events, impressions or creatives in both"
        )
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        compared = ComparedTables(params, _fetch_champions(context, Path(scratch)))
        for table in tables:
            COMPARE[table](reference[table], current[table], compared)
    result = detect(compared.features, compared.click_rates, compared.rows, compared.skipped, params)
    periods = {"reference": reference, "current": current}
    folders = {f"{name}_{table}": period[table] for name, period in periods.items() for table in tables}
    _write(result, outputs.report, params, folders, context)
    _record(result, context)
    numbers = {"features": float(len(result.findings)), "alarms": float(len(result.alarms))}
    lines = "\n".join(f"{name}: {reason}" for name, reason in result.skipped.items())
    return {**numbers, "reason": result.reason, "not_compared": lines}


def _record(result: "Detection", context: StageContext) -> None:
    """Keep the numbers for metrics in MLflow."""
    effects = [[each.table, each.feature, each.effect] for each in result.findings[:MAX_EFFECTS]]
    content = {"at": int(time.time()), "alarms": len(result.alarms), "effects": effects}
    with context.tracker.start_run("drift comparison", {}, {RESULT: json.dumps(content)}):
        pass


def find_tables(folder: Path) -> dict[str, Path]:
    """Return the folder of each table: below a folder, or the folder itself. Raises DataError without the folder."""
    if not folder.is_dir():
        raise DataError(f"{describe_missing(folder)}; name a folder of `adloom prepare` or `adloom log to-impressions`")
    if (folder / manifest.MANIFEST).is_file():
        name = _name_shards(folder)
        columns = parquet.list_columns(folder, name) if parquet.list_shards(folder, name) else []
        return {table: folder for table, column in COLUMNS.items() if column in columns}
    present = {table: folder / table for table in COLUMNS if (folder / table / manifest.MANIFEST).is_file()}
    return {table: path for table, path in present.items() if not manifest.skip_reason(path)}


def _fetch_champions(context: StageContext, scratch: Path) -> dict[str, Path]:
    """Return the folders of the champions that there are."""
    digests = {model: champion_copy.find_champion_digest(context.registry, model) for model in ("audience", "cnn")}
    for model, digest in digests.items():
        champion_copy.copy_version(context.registry, model, digest, scratch / model)
    return {model: scratch / model for model, digest in digests.items() if digest}


def _compare_impressions(reference: Path, current: Path, compared: ComparedTables) -> None:
    import pandas as pd

    from adloom.drift.impressions import build_features

    old, new = (_read_impressions(path) for path in (reference, current))
    if compared.has_enough("impressions", len(old.rows), len(new.rows)):
        maturity = pd.Timedelta(hours=compared.params.maturity_hours)
        features, compared.click_rates = build_features(old, new, maturity)
        compared.features += features
        if compared.click_rates is None:
            compared.skipped["click rate"] = (
                "no clicks of two users in the reference are older than drift.maturity_hours"
            )


def _read_impressions(folder: Path) -> "ImpressionPeriod":
    from adloom.drift.impressions import read_period
    from adloom.stages.drift_tables import check_impressions, find_columns

    manifest.verify(folder)
    name = _name_shards(folder)
    columns = [column for column in find_columns(folder, "impressions", name) if column != "candidates"]  # the longest
    chunks = check_impressions(parquet.read_chunks(folder, name, columns), folder)
    return read_period(chunks, parquet.count_rows(folder, name))


def _name_shards(folder: Path) -> str:
    """Return the name of a table's shards: those of a converted log are named by their days."""
    return "rows" if parquet.list_shards(folder) else "*"


def _compare_events(reference: Path, current: Path, compared: ComparedTables) -> None:
    from adloom.audience.events import find_period
    from adloom.drift.models import build_user_features
    from adloom.stages.drift_tables import check_events, find_columns
    from adloom.storage.table_scan import scan_table

    for folder in (reference, current):
        find_columns(folder, "events")
    rows = [parquet.count_rows(folder) for folder in (reference, current)]
    if not all(rows):  # no period
        compared.has_enough("events", *rows)
        return
    tables = [scan_table(folder) for folder in (reference, current)]
    for folder, events in zip((reference, current), tables, strict=True):
        check_events(events, folder)
    periods = [find_period(events) for events in tables]
    length = min(end - start for start, end in periods)  # features depend on the length
    old, new = (
        _read_users(
            events.filter(events.timestamp >= _to_naive(end - length)), count, end, compared.models.get("audience")
        )
        for events, count, (_, end) in zip(tables, rows, periods, strict=True)
    )
    if compared.has_enough("events", len(old.ids), len(new.ids)):
        compared.features += build_user_features(old, new)
    if "audience" not in compared.models:
        compared.skipped["segments of users"] = "audience has no champion; `adloom promote` names one"


def _to_naive(time: Any) -> Any:
    """Return a time in UTC without its zone, as tables are scanned."""
    return time.tz_convert(None).to_pydatetime()


def _read_users(events: Any, rows: int, end: Any, audience: Path | None) -> "UserFeatures":
    from adloom.audience.features import select_features
    from adloom.audience.segmenter import FEATURES, Segmenter
    from adloom.audience.user_table import stack_features
    from adloom.drift.models import UserFeatures
    from adloom.stages.user_files import write_below

    purchase = read_card(audience)["params"]["purchase"] if audience else "purchase"
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        table = write_below(Path(scratch), rows)(select_features(events, end, purchase), "users")
        users = table.take(_choose(len(table), MAX_USERS), "user_id", *FEATURES)
    ids, features = users["user_id"], stack_features(users)
    segment = Segmenter.load(audience / "segmenter.npz").assign(features) if audience and len(ids) else None
    return UserFeatures(ids, features, segment)


def _compare_creatives(reference: Path, current: Path, compared: ComparedTables) -> None:
    from adloom.drift.models import build_creative_features

    if "cnn" not in compared.models:
        compared.skipped["creatives"] = "cnn has no champion that reads them; `adloom promote` names one"
        return
    old, new = (_read_creatives(folder, compared) for folder in (reference, current))
    if compared.has_enough("creatives", len(old.category), len(new.category)):
        compared.features += build_creative_features(old, new)


def _read_creatives(folder: Path, compared: ComparedTables) -> "CreativeFeatures":
    import numpy as np

    from adloom.creatives.inference import read_pictures
    from adloom.drift.models import CreativeFeatures
    from adloom.onnx_models.runtime import Reader
    from adloom.stages.drift_tables import find_columns

    manifest.verify(folder)
    find_columns(folder, "creatives")
    creatives, reader = open_creatives(folder), compared.models["cnn"]
    rows = _choose(len(creatives.rows), MAX_PICTURES)
    batches = creatives.decode_batches(rows)
    probabilities, embedding = read_pictures(Reader(reader, compared.params.threads), batches)
    predicted = np.array(read_card(reader)["categories"], object)[probabilities.argmax(axis=1)]
    return CreativeFeatures(creatives.rows["category"].to_numpy(object)[rows], predicted, embedding.astype(np.float64))


def _choose(rows: int, limit: int) -> "Int64Array":
    """Return the ascending numbers of at most `limit` rows, chosen at random."""
    import numpy as np

    return np.sort(np.random.default_rng(SEED).permutation(rows)[:limit])


COMPARE = {"creatives": _compare_creatives, "events": _compare_events, "impressions": _compare_impressions}


def _write(
    result: "Detection", target: Path, params: Drift, folders: Mapping[str, Path], context: StageContext
) -> None:
    from adloom.drift.report_sections import build_page

    with manifest.draft(target, STAGE, params, folders) as draft:
        draft.environment.update(context.kernels)
        draft.write_json("drift.json", {"alarms": len(result.alarms), "reason": result.reason, **asdict(result)})
        (draft.path / PAGE).write_text(build_page(result, params.min_psi), encoding="utf-8")
