"""All checks together: none stops another, and what they found is told in their order, without secrets."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind, State
from adloom.doctor.runner import exit_code, run_checks

SENTINEL = "sentinel-of-a-secret"


def fine(_: DoctorContext) -> Iterator[Finding]:
    yield Kind.S3_OK("read")


def raising(_: DoctorContext) -> Iterator[Finding]:
    yield Kind.MLFLOW_OK("reached")
    raise ZeroDivisionError("by\nzero")


@pytest.mark.slow
def test_a_check_that_raises_or_hangs_is_a_finding_and_the_others_are_told(make_context: MakeContext) -> None:
    never = threading.Event()

    def hanging(_: DoctorContext) -> Iterator[Finding]:
        yield Kind.KFP_OK("reached")
        never.wait(60)

    begun = time.monotonic()
    found = list(run_checks(make_context(), {"kfp": hanging, "mlflow": raising, "s3": fine}, seconds=0.5))
    assert time.monotonic() - begun < 10
    never.set()
    assert [(one.check, one.name) for one in found] == [
        ("kfp", "kfp-ok"),
        ("kfp", "check-slow"),
        ("mlflow", "mlflow-ok"),
        ("mlflow", "check-failed"),
        ("s3", "s3-ok"),
    ]
    assert found[1].found == "kfp: not done in time after kfp-ok"
    assert found[3].found == "mlflow: unexpected ZeroDivisionError: by zero"
    assert all(one.next_step for one in found if one.state is State.BROKEN)


def test_checks_run_side_by_side(make_context: MakeContext) -> None:
    meeting = threading.Barrier(2)

    def waiting(context: DoctorContext) -> Iterator[Finding]:
        meeting.wait(10)
        return fine(context)

    assert [one.name for one in run_checks(make_context(), {"a": waiting, "b": waiting})] == ["s3-ok", "s3-ok"]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([Kind.S3_OK, Kind.S3_UNVERSIONED, Kind.KFP_NOT_ASKED], 0),
        ([Kind.S3_OK, Kind.S3_REFUSED], 2),
        ([Kind.CHECK_FAILED, Kind.S3_OK], 1),
        ([Kind.CHECK_FAILED, Kind.CHECK_SLOW], 2),
    ],
)
def test_the_exit_code_says_who_can_mend_it(kinds: list[Kind], code: int) -> None:
    assert exit_code([kind("found") for kind in kinds]) == code


def test_what_others_say_is_told_without_secrets(make_context: MakeContext) -> None:
    secrets = {name: f"{SENTINEL}-{name}" for name in ("ADLOOM_PSEUDONYM_KEY", "ADLOOM_KFP_TOKEN")}
    secrets["ADLOOM_WEBHOOK_URL"] = f"https://hooks.example/{SENTINEL}"

    def talking(_: DoctorContext) -> Iterator[Finding]:
        yield Kind.S3_FAILED(f"said {secrets}", f"call postgresql://me:{SENTINEL}@db/mlflow")
        raise ValueError(str(secrets))

    said = json.dumps([[one.found, one.next_step] for one in run_checks(make_context(**secrets), {"s3": talking})])
    assert SENTINEL not in said
    assert "//…@db/mlflow" in json.loads(said)[0][1]
