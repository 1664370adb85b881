"""Users in several arms are named, and arms with too few users."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.decision_logs import decision, frame_segment, verify_log, write_segment

SHARES = {"champion": 0.8, "challenger": 0.2}


def write_experiment(root: Path, arms: list[str], shares: dict[str, float] = SHARES, **changes: Any) -> None:
    """Write a decision of each of some users, in their arms."""
    fields = {"experiment": "autumn", "chosen": [], "propensities": []}
    users = [
        decision(i, time=0, arm=arm, arm_probability=shares[arm], **{"user": f"{i:032x}", **fields, **changes})
        for i, arm in enumerate(arms, 1)
    ]
    write_segment(root, frame_segment(users))


def draw_arms(p: list[float], users: int = 3000) -> list[str]:
    return [str(arm) for arm in np.random.default_rng(3).choice(list(SHARES), users, p=p)]


def test_a_user_in_two_arms_of_an_experiment_is_reported(tmp_path: Path) -> None:
    user = {"user": "0" * 31 + "a", "experiment": "autumn"}
    decisions = [
        decision(0, arm="champion", arm_probability=0.8, **user),
        decision(1, arm="champion", arm_probability=0.5, **user),
        decision(2, arm="other", arm_probability=0.8, **{**user, "experiment": "winter"}),
        decision(3),
    ]
    write_segment(tmp_path / "sound", frame_segment(decisions))
    assert verify_log(tmp_path / "sound").issue_count == 0
    crossed = decision(4, arm="control", arm_probability=0.2, **user)
    write_segment(tmp_path / "crossed", frame_segment([*decisions, crossed]))
    report = verify_log(tmp_path / "crossed")
    assert report.counts == {"crossover": 1}
    assert report.examples["crossover"] == [f"user {'0' * 31}a: champion, control of autumn"]


ANONYMOUS: dict[str, Any] = {"user": None, "user_key": None}


@pytest.mark.parametrize("user", [{}, ANONYMOUS], ids=["known", "anonymous"])
def test_arms_with_other_shares_of_the_users_are_reported(tmp_path: Path, user: dict[str, Any]) -> None:
    write_experiment(tmp_path / "honest", draw_arms([0.8, 0.2]), **user)
    assert verify_log(tmp_path / "honest").issue_count == 0
    write_experiment(tmp_path / "skewed", draw_arms([0.75, 0.25]), **user)
    report = verify_log(tmp_path / "skewed")
    assert report.counts == {"sample_ratio": 2}
    assert "autumn: challenger: " in report.examples["sample_ratio"][0]


def test_an_arm_without_users_is_reported(tmp_path: Path) -> None:
    write_experiment(tmp_path, ["champion"] * 1000)
    [example] = verify_log(tmp_path).examples["sample_ratio"][1:]
    assert "autumn: arms without users: 0 chosen, 200.0 expected" in example


def test_shares_that_changed_are_not_tested(tmp_path: Path) -> None:
    write_experiment(tmp_path, ["champion"] * 1000)
    write_experiment(tmp_path / "later", ["champion"] * 1000, {"champion": 0.9}, **ANONYMOUS)
    assert "sample_ratio" not in verify_log(tmp_path).counts
