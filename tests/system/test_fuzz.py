"""Every endpoint, asked whatever its OpenAPI allows and what it does not: answers are as described, and never 5xx."""

import re
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.tiny_models import write_models

from adloom.serving.client import serving
from adloom.serving.messages import DECIDE
from adloom.serving.server import APPS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

BOUNDED = settings(
    max_examples=40,
    derandomize=True,  # seeded: the same questions each time
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = write_models(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        with (
            serving("--models", str(folder)) as whole,
            serving("--app", "decide", "--models", str(folder)) as decide,
            serving("--app", "decide", "--models", str(folder), "--workers", "2") as workers,
        ):
            yield {"all": whole, "decide": decide, "workers": workers}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("app", ["all", "decide", "workers"])
def test_never_a_failure_of_the_service(urls: dict[str, str], app: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{urls[app]}/openapi.json")
    operations: list[Any] = [cast("Any", result).ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {*APPS["decide"].endpoints, "/v1/models", "/readyz"}
    for operation in operations:
        fuzz(operation, mode)
    if app == "decide":  # the questions were of all kinds
        text = httpx.get(f"{urls[app]}/metrics").text
        asked = set(re.findall(r'adloom_requests_total{path="(.*?)",status="(...)"}', text))
        expected = {"200"} if mode is GenerationMode.POSITIVE else {"200", "400", "422"}
        assert {status for path, status in asked if path == DECIDE} >= expected


def fuzz(operation: Any, mode: GenerationMode) -> None:
    @BOUNDED
    @given(case=operation.as_strategy(mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    if mode is GenerationMode.POSITIVE or operation.method == "post":  # nothing is asked of a page
        ask()
