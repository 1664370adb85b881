"""Impressions are read with the segments of their users."""

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import MakeTable
from tests.support.impression_tables import impressions_frame
from tests.support.tiny_models import USERS, write_audience

from adloom.config.audience import TrainPolicy
from adloom.config.sources import Source
from adloom.data.privacy import PUBLISHED_KEY, pseudonymise
from adloom.stages.policy_rows import read_impressions
from adloom.storage import manifest

PARAMS = TrainPolicy(maturity_hours=1e-12)


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    """Impressions of users 1 and 3, of a stranger and of nobody; the last lies in the holdout period."""
    users = [pseudonymise(user, PUBLISHED_KEY) for user in (USERS[0], USERS[2], "a stranger")]
    rows = impressions_frame("abcd", user_id=[*users, None])
    return make_table("impressions", rows.assign(split=["calibration"] * 3 + ["holdout"]))


def test_users_get_the_segments_of_the_audience(table: Path, tmp_path: Path) -> None:
    write_audience(tmp_path / "audience")
    data, excluded = read_impressions(table, tmp_path / "audience", "calibration", PARAMS)
    assert data.context["segment"].tolist() == ["segment-1", "segment-2", np.nan]
    assert excluded.without_segment == 1


@pytest.mark.parametrize("skipped", [True, False])
def test_without_an_audience_nobody_has_a_segment(table: Path, tmp_path: Path, skipped: bool) -> None:
    manifest.skip(tmp_path / "audience", "segment", Source(uri="x"), "no events")
    data, _ = read_impressions(table, tmp_path / "audience" if skipped else None, "holdout", PARAMS)
    assert (len(data), "segment" in data.context) == (1, False)
