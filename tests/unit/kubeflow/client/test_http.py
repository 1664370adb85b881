"""The client against a stand-in for the server."""

from dataclasses import replace

import kfp_server_api as models
import pytest
import yaml
from tests.support.kfp_client import DIGEST, order, server
from tests.support.kfp_server import ARGUMENTS, PIPELINE, StandIn

from adloom.errors import ExternalServiceError
from adloom.kubeflow.client.base import RunRequest, Task
from adloom.kubeflow.client.http import PAGE_SIZE


def test_a_run_whose_task_is_handed_one_artifact_twice_is_refused(stand_in: StandIn) -> None:
    output = "{taskOutputArtifact: {producerTask: make, outputArtifactKey: model}}"
    text = f"""
root:
  inputDefinitions: {{parameters: {{project: {{}}, sources: {{}}}}}}
  dag:
    tasks:
      make: {{componentRef: {{name: comp-make}}}}
      take: {{componentRef: {{name: comp-take}}, inputs: {{artifacts: {{model: {output}, judge: {output}}}}}}}
components: {{comp-make: {{}}, comp-take: {{}}}}
---
platforms: {{}}
"""
    of = server(stand_in.url)
    given = RunRequest(
        "shop-training", "a title", of.upload_pipeline("shop-training", DIGEST, text), ARGUMENTS, "by hand"
    )
    with pytest.raises(ExternalServiceError, match="take takes make/model as judge and model"):
        of.start_run(given)


@pytest.mark.slow
def test_long_lists_are_read_page_by_page_and_no_further_than_needed(stand_in: StandIn) -> None:
    over = server(stand_in.url)
    ordered = order(over)
    started = {over.start_run(ordered).run_id for _ in range(PAGE_SIZE + 1)}
    assert {run.run_id for run in over.list_runs("shop-training")} == started
    stand_in.requests.clear()
    next(over.list_runs("shop-training"))
    assert stand_in.requests.count(("GET", "/apis/v2beta1/runs")) == 1


def test_two_who_upload_at_once_get_one_version(stand_in: StandIn) -> None:
    other = server(stand_in.url)

    def meanwhile(_method: str, path: str) -> None:
        stand_in.after = lambda _method, _path: None
        assert path.endswith("/pipelines")
        order(other)

    stand_in.after = meanwhile
    assert order(server(stand_in.url)).version == order(other).version
    assert len(stand_in.resources["versions"]) == 1


def test_what_the_server_refuses_is_told_in_its_words(stand_in: StandIn) -> None:
    over = server(stand_in.url)
    ordered = order(over)
    with pytest.raises(
        ExternalServiceError, match=r"the request is refused \(400: parameters: unknown \['x'\], missing \['proj"
    ):
        over.start_run(RunRequest("shop-training", "t", ordered.version, {"x": ""}, ""))


def test_tasks_say_how_they_stand_and_why_they_failed(stand_in: StandIn) -> None:
    over = server(stand_in.url)
    run = over.start_run(order(over))
    stand_in.advance(run.run_id, "FAILED", message="run\nfailed", why="OOM", train_gan="FAILED", train_cnn="SUCCEEDED")
    found = over.get_run(run.run_id)
    assert (found.state, found.message) == ("FAILED", "run failed")
    assert {Task("train-gan", "FAILED", "OOM"), Task("train-cnn", "SUCCEEDED", "")} <= set(found.tasks)


def test_why_a_task_failed_is_taken_from_its_history_when_it_has_no_error(stand_in: StandIn) -> None:
    over = server(stand_in.url)
    run = over.start_run(order(over))
    stand_in.advance(run.run_id, "FAILED", train_gan="FAILED")
    kept = stand_in.resources["runs"][run.run_id]
    (task,) = [task for task in kept.run_details.task_details if task.display_name == "train-gan"]
    error = models.GoogleRpcStatus(code=2, message="evicted")
    kept.state_history[-1].error = error
    task.state_history = [models.V2beta1RuntimeStatus(state="FAILED", error=error)]
    found = over.get_run(run.run_id)
    assert found.message == "evicted"
    assert Task("train-gan", "FAILED", "evicted") in found.tasks


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"reason": "schedule 30 3 * * *"}, "schedule 30 3 * * *"), ({}, "schedule {schedule_id}")],
)
def test_a_run_that_a_schedule_made_says_so(stand_in: StandIn, arguments: dict[str, str], reason: str) -> None:
    over = server(stand_in.url)
    made = over.create_schedule(replace(order(over), arguments=ARGUMENTS | arguments), "0 30 3 * * *")
    fired = stand_in.fire(made.schedule_id)
    (run,) = over.list_runs("shop-training")
    assert (run.run_id, run.reason, run.digest) == (fired, reason.format(schedule_id=made.schedule_id), DIGEST)


def test_a_run_that_was_started_on_kubeflows_pages_says_so(stand_in: StandIn) -> None:
    over = server(stand_in.url)
    run = over.start_run(replace(order(over), reason=""))
    assert run.reason == "started in Kubeflow"


def test_the_compiled_pipeline_of_a_run_is_had_until_its_version_is_deleted(stand_in: StandIn) -> None:
    run = server(stand_in.url).start_run(order(server(stand_in.url)))
    assert server(stand_in.url).get_spec(run) == next(yaml.safe_load_all(PIPELINE))
    stand_in.resources["versions"].clear()
    assert server(stand_in.url).get_spec(run) == {}


def test_links_lead_to_the_pages_and_there_are_none_where_no_pages_are_named(stand_in: StandIn) -> None:
    assert server(stand_in.url).start_run(order(server(stand_in.url))).url is None
    over = server(stand_in.url, ADLOOM_KFP_UI="https://kubeflow.example/pipeline/")
    run = over.start_run(order(over))
    assert run.url == f"https://kubeflow.example/pipeline/#/runs/details/{run.run_id}"
