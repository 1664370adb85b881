"""The stand-in answers what a real server of Kubeflow Pipelines 2.17 answered, also where adloom does not ask today."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import urllib3
from tests.support import kfp_server
from tests.support.kfp_server import ARGUMENTS, PIPELINE, StandIn

from adloom.config.settings import Settings
from adloom.kubeflow.client.base import RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient

BARE = quote(json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": "100%"}]}))


@pytest.fixture
def server() -> Iterator[StandIn]:
    with kfp_server.serving() as server:
        yield server


@pytest.fixture
def order(server: StandIn) -> RunRequest:
    version = HttpKubeflowClient(Settings(ADLOOM_KFP_ENDPOINT=server.url)).upload_pipeline(
        "shop-training", "d" * 64, PIPELINE
    )
    return RunRequest("shop-training", "a title", version, ARGUMENTS, "by hand")


def ask(server: StandIn, method: str, path: str, **content: Any) -> tuple[int, dict[str, Any]]:
    answer = urllib3.request(method, f"{server.url}/apis/v2beta1/{path}", retries=False, timeout=10, **content)
    return answer.status, json.loads(answer.data)


def run_of(server: StandIn, order: RunRequest, **other: Any) -> tuple[int, dict[str, Any]]:
    _, experiment = ask(server, "POST", "experiments", json={"display_name": "e"})
    reference = {"pipeline_id": order.version.pipeline_id, "pipeline_version_id": order.version.version_id}
    body = {
        "display_name": "r",
        "experiment_id": experiment["experiment_id"],
        "pipeline_version_reference": reference,
        "runtime_config": {"parameters": dict(order.arguments)},
    }
    return ask(server, "POST", "runs", json=body | other)


def test_a_second_terminate_is_refused(server: StandIn, order: RunRequest) -> None:
    _, run = run_of(server, order)
    path = f"runs/{run['run_id']}:terminate"
    assert [ask(server, "POST", path)[0] for _ in range(2)] == [200, 400]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(ARGUMENTS, 200), (ARGUMENTS | {"reason": "why"}, 200), ({"project": "shop"}, 400), (ARGUMENTS | {"x": "y"}, 400)],
)
def test_a_parameter_with_a_default_may_be_left_out(
    server: StandIn, order: RunRequest, arguments: dict[str, str], status: int
) -> None:
    assert run_of(server, order, runtime_config={"parameters": arguments})[0] == status


def test_an_empty_title_is_an_error_of_the_servers(server: StandIn, order: RunRequest) -> None:
    assert run_of(server, order, display_name="")[0] == 500


@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("absent", PIPELINE),
        (None, "no pipeline"),
        (None, "{root: [}"),
        (None, "\x00"),
        (None, "{root: {}}"),
        (None, ""),
    ],
)
def test_an_upload_that_cannot_be_is_refused(
    server: StandIn, order: RunRequest, pipeline: str | None, text: str
) -> None:
    path = f"pipelines/upload_version?name=n&display_name=n&pipelineid={pipeline or order.version.pipeline_id}"
    status, said = ask(server, "POST", path, fields={"uploadfile": ("p.yaml", text.encode(), "application/yaml")})
    assert (status, "error_message" in said) == (400, True)


@pytest.mark.parametrize(
    "query", ["page_token=x", "page_token=%FF", "sort_by=no", "sort_by=name%20up", f"filter={BARE}"]
)
def test_a_list_that_is_asked_for_wrongly_is_refused(server: StandIn, query: str) -> None:
    assert ask(server, "GET", f"runs?{query}")[0] == 400


@pytest.mark.parametrize("cron", ["30 3 * * *", "0 30 3 * * *"])
def test_a_cron_is_kept_as_it_is(server: StandIn, order: RunRequest, cron: str) -> None:
    _, run = run_of(server, order)
    ordered = {name: run[name] for name in ("experiment_id", "pipeline_version_reference", "runtime_config")}
    trigger = {"cron_schedule": {"cron": cron}}
    made = {"display_name": "s", "mode": "ENABLE", "trigger": trigger, **ordered}
    status, recurring = ask(server, "POST", "recurringruns", json=made)
    assert (status, recurring["trigger"], recurring["status"]) == (200, trigger, "ENABLED")
    path = f"recurringruns/{recurring['recurring_run_id']}"
    assert ask(server, "POST", f"{path}:disable")[0] == 200
    (listed,) = ask(server, "GET", "recurringruns")[1]["recurringRuns"]
    assert (listed["mode"], listed["status"]) == ("DISABLE", "DISABLED")
    assert "updated_at" in listed


def test_answers_carry_what_the_real_ones_do(server: StandIn, order: RunRequest) -> None:
    _, run = run_of(server, order)
    assert run["finished_at"] == "1970-01-01T00:00:00Z"
    assert [past["state"] for past in run["state_history"]] == ["PENDING"]
    assert {"scheduled_at", "service_account", "plugins_output"} <= run.keys()
    assert ask(server, "GET", "runs")[1]["total_size"] == 1
    (experiment,) = ask(server, "GET", "experiments")[1]["experiments"]
    assert "last_run_created_at" in experiment
    server.advance(run["run_id"], "SUCCEEDED")
    ended = ask(server, "GET", f"runs/{run['run_id']}")[1]
    assert ended["finished_at"] > "2000"
    assert [past["state"] for past in ended["state_history"]] == ["PENDING", "SUCCEEDED"]
