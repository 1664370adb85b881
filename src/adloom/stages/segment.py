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
from collections.abc import Mapping
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

    from adloom.arrays import Float64Array, Int64Array
    from adloom.audience.identity import Migration
    from adloom.audience.model_selection import Calibration, Candidate
    from adloom.audience.privacy import Reach
    from adloom.audience.segmenter import Segmenter

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
    from adloom.audience import model_selection
    from adloom.audience.bots import drop_bots
    from adloom.audience.events import count_events
    from adloom.audience.fit import apply_to_all
    from adloom.storage.table_scan import scan_table

    everyone = scan_table(inputs.events, "calibration", params.engine, params.memory_gb)
    events = drop_bots(everyone, inputs.events)
    if not (count := count_events(events)):
        raise DataError("events: 0 rows in the calibration period; set prepare.events.holdout_start to a later day")
    data = model_selection.build_calibration(events, params.purchase, params.seed)
    _require_users(data, events, params)
    draft.rows.update(users=len(data.users), calibration=count)
    past = load_past(inputs.champion, data.users, params.privacy.smallest)
    fitted = _compare_candidates(data, params, context.progress)
    candidates = [candidate for candidate, _ in fitted]
    chosen = model_selection.choose(candidates, params)
    features = data.features
    segmenter = next(segmenter for candidate, segmenter in fitted if candidate is chosen)
    segmenter = apply_to_all(segmenter, features, params)
    segmenter = keep_names(segmenter, segmenter.index(features), past)
    segmenter, reach = protect_segments(segmenter, features, data.users, events, params.privacy)
    segment = segmenter.index(features)
    migration = trace_changes(segmenter, segment, past, inputs.events, params)
    draft.write_json("migration.json", migration.to_json())
    sizes = _write_segments(draft, data, segmenter, segment, migration, params, context.pseudonym_key, inputs.events)
    _name_bots(draft, everyone, inputs.events, params)
    _write_diagnostics(draft, features, fitted, params)
    _write_card(draft, candidates, chosen, segmenter, reach, params)
    measured = {"silhouette": chosen.silhouette, "stability_ari": chosen.stability, "segment_rate_auc": chosen.auc}
    counted = {"segments": float(len(sizes)), "smallest_segment": float(sizes.min()), "reach_lost": reach.lost}
    return counted | {name: value for name, value in measured.items() if value is not None}


def _name_bots(draft: manifest.Draft, events: "ibis.Table", table: Path, params: Segment) -> None:
    """Count the bots, and add them to the members if they are a segment."""
    from adloom.audience.bots import add_bots, read_bots
    from adloom.audience.segment_index import SegmentIndex

    if not (bots := read_bots(table)):
        return
    draft.rows["bots"] = len(bots)
    if params.bots == "segment":
        path = draft.path / "members.npz"
        add_bots(SegmentIndex.load(path), events, bots).save(path)


def _require_users(data: "Calibration", events: "ibis.Table", params: Segment) -> None:
    """Raise DataError when there are not enough users for segments_min segments."""
    import pandas as pd

    from adloom.audience.events import list_kinds
    from adloom.audience.fit import MAX_USERS

    users, needed = len(data.users), params.segments_min * params.min_segment_size
    if not users:
        kinds = ", ".join(list_kinds(events)[:5])
        raise DataError(f"events: none is a {params.purchase!r}, only {kinds}; set segment.purchase to the one that is")
    if users < needed:
        raise DataError(
            f"events: {users} users bought in the calibration period, expected at least {needed}: segment.segments_min "
            f"{params.segments_min} x min_segment_size {params.min_segment_size}; lower them, or set enabled: false"
        )
    rows = pd.DataFrame(data.features)
    different = len(rows[:MAX_USERS].drop_duplicates())
    different = different if different >= params.segments_min else len(rows.drop_duplicates())
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


def _write_segments(
    draft: manifest.Draft,
    data: "Calibration",
    segmenter: "Segmenter",
    segment: "Int64Array",
    migration: "Migration",
    params: Segment,
    key: bytes | None,
    events: Path,
) -> "Int64Array":
    """Write the segments, of each user (users,); return the number of users of each that is published."""
    import numpy as np

    from adloom.audience import model_selection
    from adloom.audience.profiles import describe_segments
    from adloom.audience.segment_index import SegmentIndex

    privacy, features, names = params.privacy, data.features, segmenter.names
    segmenter.save(draft.path / "segmenter.npz")
    published = np.array(names)[segment] != SUPPRESSED
    index = SegmentIndex.build(data.users[published], segment[published], names)
    index.save(draft.path / "members.npz")
    if privacy.epsilon is None:
        history = model_selection.trace_history(data, segmenter, segment, privacy.smallest)
        profiles = describe_segments(features, segment, names, segmenter.noise, history, migration.previous)
        contents = [profile.to_json() for profile in profiles if profile.segment != SUPPRESSED]
    else:
        contents = describe_noisily(draft, features, segment, names, privacy, key, events)
    draft.write_json("profiles.json", contents)
    return np.bincount(segment[published])


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
        "rule": model_selection.describe_rule(params),
        "doubts": doubts,
        "chosen": model_selection.to_json(chosen),
        "candidates": [
            model_selection.to_json(c) | {"verdict": model_selection.explain_verdict(c, chosen, params)}
            for c in candidates
        ],
    }
    draft.describe(card, params)
