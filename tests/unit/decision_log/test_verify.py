"""`adloom log verify`: each fault that is planted is found, by its name and where it is, and nothing else is."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.support.decision_logs import LATER, NOON, OTHER, click, decision, frame_segment, verify_log, write_segment

from adloom.cli.main import cli
from adloom.data.context import CLOCK_SKEW
from adloom.decision_log.record import Gap, encode
from adloom.decision_log.sample_ratio import MIN_DECISIONS
from adloom.decision_log.verify import CHECKS, check_decision
from adloom.errors import DataError


def test_a_sound_log_has_nothing_wrong(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([decision(0), click(0), decision(1)]))
    write_segment(tmp_path, frame_segment([decision(2)], number=1, before=3))
    write_segment(tmp_path, frame_segment([click(1)], process=OTHER))
    findings = verify_log(tmp_path)
    assert findings.issue_count == 0
    assert (findings.segments, findings.decisions, findings.feedback, len(findings.summaries)) == (3, 3, 2, 2)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"probabilities": [0.5, 0.3, 0.2 + 1e-8]}, "sum"),
        ({"probabilities": [0.5, 0.5]}, "lengths"),
        ({"probabilities": [], "chosen": [], "propensities": []}, "lengths"),
        ({"propensities": [0.3]}, "lengths"),
        ({"chosen": ["bag", "sock"]}, "chosen"),
        ({"chosen": ["bag", "bag"]}, "chosen"),
        ({"candidates": ["hat", "bag", "bag"]}, "chosen"),
        ({"probabilities": [0.7, 0.5, -0.2], "chosen": ["bag"], "propensities": [0.5]}, "support"),
        ({"probabilities": [0.5, 0.0, 0.5], "propensities": [0.0, 0.5]}, "support"),
        ({"propensities": [0.3, 0.5]}, "propensity"),
        ({"propensities": [0.3, 0.6], "experiment": "e", "arm": "a", "arm_probability": 0.2}, "propensity"),
        ({"propensities": [0.3 + 1e-8, 0.5 / 0.7]}, "propensity"),
        ({"user_key": None}, "user"),
        ({"user": None}, "user"),
    ],
)
def test_issues_of_a_decision_are_reported_by_check(tmp_path: Path, change: dict[str, Any], check: str) -> None:
    path = write_segment(tmp_path, frame_segment([decision(0), decision(1, **change)]))
    findings = verify_log(tmp_path)
    assert set(findings.counts) == {check}
    assert findings.examples[check][0].startswith(f"{path}:3: {1:032x}: ")


def test_optional_fields_may_be_absent() -> None:
    for sound in (
        decision(user=None, user_key=None, segment=None, audience=None, policy=None, tier="default"),
        decision(candidates=[], probabilities=[], chosen=[], propensities=[]),
        decision(chosen=[], propensities=[]),
        decision(probabilities=[0.5 + 4e-10, 0.3, 0.2]),
        decision(probabilities=[], chosen=[], propensities=[], experiment="e", arm="holdout", arm_probability=0.2),
    ):
        assert [*check_decision(sound)] == []


@given(st.lists(st.floats(1e-3, 1), min_size=1, max_size=50), st.integers(0, 2**32 - 1))
def test_exact_slates_of_any_length_are_sound(weights: list[float], seed: int) -> None:
    names = [str(number) for number in range(len(weights))]
    p = np.array(weights) / math.fsum(weights)
    order = np.random.default_rng(seed).permutation(len(weights))
    above = np.concatenate([[0.0], np.cumsum(p[order])[:-1]])
    slate = decision(
        candidates=names,
        probabilities=p.tolist(),
        chosen=[names[i] for i in order],
        propensities=(p[order] / (1 - above)).tolist(),
    )
    assert [*check_decision(slate)] == []


def duplicate(root: Path) -> None:
    write_segment(root, frame_segment([decision(0)]))
    write_segment(root, frame_segment([decision(0, tier="cached")], process=OTHER))


def feedback(root: Path) -> None:
    write_segment(root, frame_segment([decision(0), click(7)]))


def early(root: Path) -> None:
    write_segment(root, frame_segment([decision(0), decision(1, time=NOON + 2 * CLOCK_SKEW)]))
    write_segment(
        root, frame_segment([click(0, time=NOON - CLOCK_SKEW), click(1, time=NOON + CLOCK_SKEW - 1)], process=OTHER)
    )


def cut_between(root: Path) -> None:
    write_segment(root, frame_segment([decision(0)]))
    path = write_segment(root, frame_segment([decision(number) for number in range(1, 51)], number=1, before=1))
    os.truncate(path, 60)  # of its gzip, the name of no file and no whole block
    write_segment(root, frame_segment([decision(51)], number=2, before=51))


def backwards(root: Path) -> None:
    write_segment(root, frame_segment([decision(20), decision(9), decision(21)]))


def backwards_between_segments(root: Path) -> None:
    write_segment(root, frame_segment([decision(20)]))
    write_segment(root, frame_segment([decision(9)], number=1, before=1))


def future(root: Path) -> None:
    write_segment(root, frame_segment([decision(0, time=LATER + CLOCK_SKEW + 1)]))


def lost_segment(root: Path) -> None:
    write_segment(root, frame_segment([decision(0)]))
    write_segment(root, frame_segment([decision(2)], number=2, before=2))


def lost_line(root: Path) -> None:
    header, _, *rest = frame_segment([decision(0), decision(1)])
    write_segment(root, [header, *rest])


def gap(root: Path) -> None:
    write_segment(root, frame_segment([decision(0), Gap(time=NOON, reason="disk full", records=1)]))


def line(root: Path) -> None:
    write_segment(
        root,
        [
            *frame_segment([decision(0), decision(1)])[:2],
            b'{"type":"decision"}\n',
            frame_segment([decision(0), decision(1)])[3],
        ],
    )


def torn(root: Path) -> None:
    header, first, end = frame_segment([decision(0)])
    write_segment(root, [header, first, end, encode(decision(1))[:-5]])


def no_end(root: Path) -> None:
    write_segment(root, frame_segment([decision(0)])[:-1])


def no_header(root: Path) -> None:
    write_segment(root, frame_segment([decision(0)])[1:])


def renamed(root: Path) -> None:
    path = write_segment(root, frame_segment([decision(0)]))
    path.rename(path.with_name("0" * 64 + ".jsonl.gz"))


def cut_short(root: Path) -> None:
    path = write_segment(root, frame_segment([decision(number) for number in range(50)]))
    path.rename(path.with_name("short.jsonl.gz")).write_bytes(path.with_name("short.jsonl.gz").read_bytes()[:-30])


@pytest.mark.parametrize(
    ("plant", "counts"),
    [
        (duplicate, {"duplicate": 1}),
        (feedback, {"feedback": 1}),
        (early, {"early": 1}),
        (backwards, {"backwards": 1}),
        (backwards_between_segments, {"backwards": 1}),
        (future, {"future": 1}),
        (lost_segment, {"missing": 1}),
        (lost_line, {"missing": 1}),
        (gap, {"gap": 1}),
        (line, {"line": 1}),
        (torn, {"torn": 1}),
        (no_end, {"frame": 1}),
        (renamed, {"name": 1}),
        (cut_short, {"damaged": 1, "frame": 1}),
        (cut_between, {"damaged": 1, "frame": 1, "missing": 50}),
    ],
)
def test_issues_of_a_log_are_reported_by_check(
    tmp_path: Path, plant: Callable[[Path], None], counts: dict[str, int]
) -> None:
    plant(tmp_path)
    assert verify_log(tmp_path).counts == counts


def test_creatives_of_an_experiment_are_tested_by_the_probabilities_of_their_arm(tmp_path: Path) -> None:
    arm = {"user": None, "user_key": None, "experiment": "autumn", "arm": "control", "arm_probability": 0.5}
    bag, n = {"chosen": ["bag"], "propensities": [0.3]}, MIN_DECISIONS
    write_segment(tmp_path, frame_segment([decision(number, **arm, **bag) for number in range(n)]))
    found = verify_log(tmp_path)
    assert found.counts["sample_ratio"] >= 2
    assert any("bag in home: 1000 chosen, 300.0 expected" in example for example in found.examples["sample_ratio"])


def test_a_segment_without_a_header_says_so(tmp_path: Path) -> None:
    no_header(tmp_path)
    assert verify_log(tmp_path).counts.keys() == {"frame"}


def test_small_differences_of_clocks_are_no_fault(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([decision(0, time=LATER + CLOCK_SKEW), decision(1, time=LATER)]))
    assert verify_log(tmp_path).issue_count == 0


def test_a_log_that_begins_in_the_middle_of_a_process_misses_nothing(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([decision(0)], number=7, before=900))
    assert verify_log(tmp_path).issue_count == 0


def test_the_command_prints_each_check_and_fails_in_one_line(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([decision(0), decision(0, policy_version=4), click(9)]))
    shown = CliRunner().invoke(cli, ["log", "verify", str(tmp_path)])
    assert isinstance(shown.exception, DataError)
    assert shown.exception.exit_code == 2
    assert str(shown.exception).startswith(f"{tmp_path}: 2 issues (duplicate 1, feedback 1)")
    assert all(f"\n{name} " in shown.output for name in CHECKS)
    assert f"{0:032x}: 2 decisions" in shown.output


def test_the_command_prints_json_for_a_program(tmp_path: Path) -> None:
    write_segment(tmp_path, frame_segment([decision(0)]))
    shown = CliRunner().invoke(cli, ["log", "verify", str(tmp_path), "--json"])
    assert shown.exit_code == 0
    summary = json.loads(shown.output)
    assert (summary["decisions"], summary["processes_without_end"]) == (1, 0)
    assert set(summary["checks"]) == set(CHECKS)


def test_examples_are_few_and_counts_are_all(tmp_path: Path) -> None:
    wrong = [structs.replace(decision(number), propensities=[0.3, 0.3]) for number in range(9)]
    write_segment(tmp_path, frame_segment(wrong))
    findings = verify_log(tmp_path)
    assert findings.counts == {"propensity": 9}
    assert len(findings.examples["propensity"]) == 3
