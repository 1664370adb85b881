"""
Find audience segments among the users of data/dataset/events.

The artifact models/audience holds segmenter.npz (assigns any user), members.npz (the segment of each known user, by
pseudonym), profiles.json (the segments in words), migration.json (the changes since the champion), diagnostics.json
(the numbers of the algorithms' pictures), history.json (measurements of the chosen clustering) and card.json (all
candidates and the choice). Segments keep the ids of the champion's, which `adloom snapshot` fetches into
models/audience.champion.

Example: adloom segment
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.audience.assignment import SUPPRESSED
from adloom.config.audience import Segment
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.stages.segment_identity import FOLDER, keep_names, load_past, trace_changes
from adloom.stages.segment_privacy import describe_noisily, protect_segments
from adloom.storage import manifest
from adloom.training.tracked_run import track_run

if TYPE_CHECKING:
    import ibis

    from adloom.arrays import Float64Array, Int64Array, IntegerArray
    from adloom.audience.identity import Migration
    from adloom.audience.model_selection import Calibration, Candidate
    from adloom.audience.privacy import Reach
    from adloom.audience.segmenter import Segmenter
    from adloom.audience.user_table import UserTable

STAGE = "segment"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The prepared table of events, and the champion, skipped or absent if there is none."""

    events: Path = Path("data/dataset/events")
    champion: Path = FOLDER


@dataclass(frozen=True)
class Outputs:
    """The segments."""

    audience: Path = Path("models/audience")


def run(inputs: Inputs, outputs: Outputs, params: Segment, context: StageContext) -> Mapping[str, float]:
    """
    Segment the users of the calibration period.

    Raises DataError when there are too few users, or too few different ones.
    """
    if manifest.propagate_skip(outputs.audience, STAGE, params, inputs.events):
        return {}
    with track_run(STAGE, inputs.events, outputs.audience, params, context) as (draft, run):
        metrics = _segment(inputs, params, draft, context)
        draft.write_json("history.json", {name: [[0, value]] for name, value in metrics.items()})
        run.log_metrics(metrics, 0)
    return metrics


def _segment(inputs: Inputs, params: Segment, draft: manifest.Draft, context: StageContext) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="segment-") as scratch:
        return _segment_users(inputs, params, draft, context, Path(scratch))


def _segment_users(
    inputs: Inputs, params: Segment, draft: manifest.Draft, context: StageContext, scratch: Path
) -> dict[str, float]:
    """Compute the users below the scratch folder, and read them in batches; return the metrics."""
    from adloom.audience import model_selection
    from adloom.audience.bots import drop_bots
    from adloom.audience.events import count_events, find_currency
    from adloom.audience.fit import apply_to_all
    from adloom.audience.user_table import assign_users
    from adloom.stages.user_files import write_below
    from adloom.storage.table_scan import scan_table

    everyone = scan_table(inputs.events, "calibration", params.engine, params.memory_gb)
    events = drop_bots(everyone, inputs.events)
    if not (count := count_events(events)):
        raise DataError("events: 0 rows in the calibration period; set prepare.events.holdout_start to a later day")
    data = model_selection.build_calibration(events, params.purchase, params.seed, write_below(scratch, count))
    _require_users(data, events, params)
    currency = find_currency(events)
    users = data.users
    draft.rows.update(users=len(users), calibration=count)
    past = load_past(inputs.champion, users.scan("user_id"), params.privacy.smallest)
    fitted = _compare_candidates(data, params, context.progress)
    candidates = [candidate for candidate, _ in fitted]
    chosen = model_selection.choose(candidates, params, past.clustering if past else None)
    segmenter = next(segmenter for candidate, segmenter in fitted if candidate is chosen)
    segmenter = apply_to_all(segmenter, users, params)
    segmenter = keep_names(segmenter, assign_users(segmenter, users), past)
    segmenter, reach = protect_segments(segmenter, users, events, params.privacy, scratch)
    segment = assign_users(segmenter, users)
    migration = trace_changes(segmenter, segment, past, inputs.events, params)
    draft.write_json("migration.json", migration.to_json())
    segmenter.save(draft.path / "segmenter.npz")
    bots = _find_bots(draft, everyone, inputs.events, params)
    sizes = _write_members(draft, users, segment, segmenter.names, bots)
    _write_profiles(draft, data, segmenter, segment, migration, currency, params, context.pseudonym_key, inputs.events)
    _write_diagnostics(draft, data.features, fitted, params)
    _write_card(draft, candidates, chosen, segmenter, reach, currency, params)
    measured = {"silhouette": chosen.silhouette, "stability_ari": chosen.stability, "segment_rate_auc": chosen.auc}
    counted = {"segments": float(len(sizes)), "smallest_segment": float(sizes.min()), "reach_lost": reach.lost}
    return counted | {name: value for name, value in measured.items() if value is not None}


def _find_bots(draft: manifest.Draft, events: "ibis.Table", table: Path, params: Segment) -> list[str]:
    """Count the bots, and return those among the events if they may form a segment."""
    from adloom.audience.bots import find_bots, read_bots

    if not (bots := read_bots(table)):
        return []
    draft.rows["bots"] = len(bots)
    if params.bots == "exclude":
        return []
    found, smallest = find_bots(events, bots), params.privacy.smallest
    if len(found) < smallest:
        logger.warning(
            "segment: %d bots are left out: a segment has at least %d users (segment.privacy)", len(found), smallest
        )
        return []
    return found


def _require_users(data: "Calibration", events: "ibis.Table", params: Segment) -> None:
    """Raise DataError when there are not enough users for segments_min segments."""
    import pandas as pd

    from adloom.audience.events import list_kinds

    users, needed = len(data.users), params.segments_min * params.min_segment_size
    if not users:
        kinds = ", ".join(list_kinds(events)[:5])
        raise DataError(f"events: none is a {params.purchase!r}, only {kinds}; set segment.purchase to the one that is")
    if users < needed:
        raise DataError(
            f"events: {users} users bought in the calibration period, expected at least {needed}: segment.segments_min "
            f"{params.segments_min} x min_segment_size {params.min_segment_size}; lower them, or set enabled: false"
        )
    different = len(pd.DataFrame(data.features).drop_duplicates())
    if different < params.segments_min:
        raise DataError(
            f"events: {different} different buying histories among {users} users, expected at least segments_min "
            f"{params.segments_min}; check that timestamps and values differ, or set enabled: false"
        )


def _compare_candidates(data: "Calibration", params: Segment, progress: bool) -> "list[tuple[Candidate, Segmenter]]":
    from tqdm import tqdm

    from adloom.audience import model_selection

    fitted = model_selection.fit_candidates(data, params)
    refitted = {c.algorithm for c in model_selection.list_contenders([candidate for candidate, _ in fitted], params)}
    with tqdm(desc=STAGE, total=len(refitted) * params.bootstraps, disable=not progress, unit="refit") as bar:
        return model_selection.measure_stability(fitted, data, params, bar.update)


def _write_members(
    draft: manifest.Draft,
    users: "UserTable",
    segment: "IntegerArray",
    names: tuple[str, ...],
    bots: list[str],
) -> "Int64Array":
    """Write the segments, of each user (users,); return the number of users of each that is published."""
    import numpy as np

    from adloom.audience.bots import SEGMENT, Members, add_bots
    from adloom.audience.segment_index import SegmentIndex
    from adloom.audience.user_table import pair_rows

    is_published = np.array([name != SUPPRESSED for name in names])
    sizes = np.bincount(segment, minlength=len(names))[is_published]
    parts = pair_rows(users.scan("user_id"), segment)
    members: Iterator[Members] = (
        (rows["user_id"][is_published[part]].tolist(), part[is_published[part]]) for rows, part in parts
    )
    count = int(sizes.sum())
    if bots:
        members, names, count = add_bots(members, bots, len(names)), (*names, SEGMENT), count + len(bots)
    SegmentIndex.write(draft.path / "members.npz", members, count, names)
    return np.trim_zeros(sizes, "b")


def _write_profiles(
    draft: manifest.Draft,
    data: "Calibration",
    segmenter: "Segmenter",
    segment: "IntegerArray",
    migration: "Migration",
    currency: str | None,
    params: Segment,
    key: bytes | None,
    events: Path,
) -> None:
    from adloom.audience import model_selection
    from adloom.audience.profiles import describe_segments

    privacy, users = params.privacy, data.users
    if privacy.epsilon is None:
        history = model_selection.trace_history(data, segmenter, segment, privacy.smallest)
        profiles = describe_segments(users, segment, segmenter, history, migration.previous, currency)
        contents = [profile.to_json() for profile in profiles if profile.segment != SUPPRESSED]
    else:
        noisy = describe_noisily(draft, users, segment, segmenter.names, privacy, key, events)
        contents = [profile | {"currency": currency} for profile in noisy]
    draft.write_json("profiles.json", contents)


def _write_diagnostics(
    draft: manifest.Draft, features: "Float64Array", fitted: "list[tuple[Candidate, Segmenter]]", params: Segment
) -> None:
    """Write the numbers of the algorithms' pictures; none where profiles must be noisy, because they are exact."""
    from adloom.audience.diagnostics import measure_diagnostics
    from adloom.audience.fit import MIN_NEIGHBOURS, draw_sample

    sample = draw_sample(len(features), params.sample, params.seed)
    is_public = params.privacy.epsilon is None
    diagnostics = measure_diagnostics(features[sample], fitted, MIN_NEIGHBOURS) if is_public else {}
    draft.write_json("diagnostics.json", diagnostics)


def _write_card(
    draft: manifest.Draft,
    candidates: "list[Candidate]",
    chosen: "Candidate",
    segmenter: "Segmenter",
    reach: "Reach",
    currency: str | None,
    params: Segment,
) -> None:
    from adloom.audience import model_selection
    from adloom.audience.segmenter import FEATURES

    doubts = model_selection.explain_doubts(chosen, candidates, params)
    for doubt in doubts:
        logger.warning("segment: %s", doubt)
    card = {
        "model": "audience",
        "categories": [],
        "features": FEATURES,
        "segments": segmenter.names,
        "reach": asdict(reach),
        "currency": currency,
        "rule": model_selection.describe_rule(params),
        "doubts": doubts,
        "chosen": model_selection.to_json(chosen),
        "candidates": [
            model_selection.to_json(c) | {"verdict": model_selection.explain_verdict(c, chosen, params)}
            for c in candidates
        ],
    }
    draft.describe(card, params)
