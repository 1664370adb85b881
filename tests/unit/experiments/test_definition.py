"""The arms of an experiment, and which experiment runs."""

import pytest
from tests.support.experiments import VERSIONS, experiment

from adloom.errors import ConfigError
from adloom.experiments.definition import (
    Action,
    Arm,
    ExperimentEvent,
    check_name,
    encode_event,
    find_running,
    parse_arms,
)


def test_arms_are_policies_uniform_or_without_ad() -> None:
    arms = parse_arms("champion=70, v2=15,control=10,holdout=5", {"champion": 7, "v2": 2}.__getitem__)
    assert arms == (
        Arm("champion", 0.7, "policy", 7),
        Arm("v2", 0.15, "policy", 2),
        Arm("control", 0.1, "uniform"),
        Arm("holdout", 0.05, "no ad"),
    )


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ("champion=80,challenger=15", "the shares sum to 95, expected 100"),
        ("champion=50,champion=50", "champion occurs twice"),
        ("champion=90,winner=10", "'winner': no such arm; expected champion, challenger, v3"),
        ("champion", "'champion': expected NAME=PERCENT"),
        ("champion=nan,control=50", "'champion=nan': expected NAME=PERCENT"),
        ("champion=0,control=100", "'champion=0': expected NAME=PERCENT"),
    ],
)
def test_other_arms_are_refused(arms: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_arms(arms, VERSIONS.__getitem__)


def test_a_name_is_a_slug() -> None:
    assert check_name("new-policy", []) == "new-policy"
    with pytest.raises(ConfigError, match="'New policy': expected a name"):
        check_name("New policy", [])


def test_a_name_is_used_once() -> None:
    ended = ExperimentEvent(at=1, action="stop", reason="over", experiment=experiment(name="hats"))
    assert check_name("hats-2", [encode_event(ended).decode()]) == "hats-2"
    with pytest.raises(ConfigError, match="hats: an earlier experiment has this name; choose another, such as hats-2"):
        check_name("hats", [encode_event(ended).decode()])


def test_the_last_experiment_runs_until_it_ends() -> None:
    def event(name: str, action: Action) -> str:
        return encode_event(ExperimentEvent(at=1, action=action, reason="", experiment=experiment(name=name))).decode()

    assert find_running([]) is None
    started = [event("first", "start"), event("first", "stop"), event("second", "start")]
    assert find_running(started) == experiment(name="second")
    assert find_running([*started, event("second", "rollback")]) is None


@pytest.mark.parametrize(
    ("arms", "baseline", "candidates"),
    [
        ("challenger=20,champion=80", 1, [0]),
        ("challenger=50,control=50", 1, [0]),
        ("challenger=90,holdout=10", 0, []),
    ],
)
def test_arms_are_compared_with_the_champion_or_the_control(arms: str, baseline: int, candidates: list[int]) -> None:
    created = experiment(arms)
    assert (created.baseline, created.candidates) == (baseline, candidates)


def test_an_experiment_needs_the_policies_of_its_arms_and_of_its_shadow() -> None:
    assert experiment(shadow=9).versions == [1, 2, 9]
