"""Robots, impossible times and users who are too fast are marked, and no one else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError
from tests.support.impression_tables import START, impressions_frame

from adloom.config.params import InvalidTraffic
from adloom.data.invalid_traffic import BURST, EARLY, HOUR, ROBOT, find_heavy_hours, mark_hours, mark_rows
from adloom.storage import parquet

PARAMS = InvalidTraffic(impressions_per_hour=4, clicks_per_minute=2)
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


def mark(folder: Path, seconds: Sequence[float], params: InvalidTraffic = PARAMS, **columns: Any) -> list[str]:
    """Return the reason of each impression, "" without one, after a detour by a Parquet file."""
    frame = impressions_frame("a" * len(seconds), [second / 3600 for second in seconds], **columns)
    folder.mkdir(exist_ok=True)
    parquet.write(mark_rows(frame, params), folder)
    reasons = find_heavy_hours(parquet.list_shards(folder), params)
    marked = mark_hours(pd.concat(parquet.read_chunks(folder)), reasons)
    assert marked["invalid"].tolist() == marked["invalid_reason"].notna().tolist()
    return [str(reason) for reason in marked["invalid_reason"].fillna("")]


def test_all_impressions_of_a_users_heavy_hour_are_marked(tmp_path: Path) -> None:
    users = [*"aaaaabbbb", None, *"aaaa"]
    seconds = [*range(0, 3000, 600), *range(0, 2400, 600), 1, *range(3600, 6000, 600)]
    assert mark(tmp_path, seconds, user_id=users) == [HOUR] * 5 + [""] * 9


def test_unknown_users_are_never_too_fast(tmp_path: Path) -> None:
    assert mark(tmp_path, [0] * 9, clicked=True) == [""] * 9


def test_a_burst_counts_the_times_of_the_clicks(tmp_path: Path) -> None:
    clicks: dict[str, Any] = {"user_id": "a", "clicked": [True, True, True, False], "impression_id": list("1234")}
    seconds = [3000, 3300, 3550, 3700]
    hours = [1.0, 1.005, 1.01, None]  # within 36 s
    assert mark(tmp_path / "burst", seconds, outcome=hours, **clicks) == [BURST] * 3 + [""]
    assert mark(tmp_path / "slow", seconds, outcome=[1.0, 1.02, 1.05, None], **clicks) == [""] * 4


@pytest.mark.parametrize("limits", [{"impressions_per_hour": None}, {"clicks_per_minute": None}])
def test_a_rule_can_be_switched_off(tmp_path: Path, limits: dict[str, Any]) -> None:
    reasons = mark(tmp_path, [0] * 9, PARAMS.model_copy(update=limits), user_id="a", clicked=True)
    assert reasons == [HOUR if "clicks_per_minute" in limits else BURST] * 9


def test_an_outcome_before_its_impression_is_impossible(tmp_path: Path) -> None:
    at = [START - pd.Timedelta(seconds=11), START - pd.Timedelta(seconds=9), START, None]
    assert mark(tmp_path / "a", [0] * 4, conversion_at=at) == [EARLY, "", "", ""]
    assert mark(tmp_path / "b", [60, 60], outcome=[0.0, 0.02]) == [EARLY, ""]


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (CHROME, ""),
        ("Mozilla/5.0 (Linux; Android 11; CUBOT X50) Chrome/120.0", ""),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ROBOT),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0", ROBOT),
        ("python-requests/2.32", ROBOT),
        (None, ""),
    ],
)
def test_robots_are_known_by_their_names_which_are_not_kept(agent: str | None, reason: str) -> None:
    [row] = mark_rows(impressions_frame("a", user_agent=agent), PARAMS).to_dict("records")
    assert ("" if pd.isna(row["invalid_reason"]) else row["invalid_reason"], "user_agent" in row) == (reason, False)


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a regular expression: missing \\)"):
        InvalidTraffic(user_agents="(bot")
