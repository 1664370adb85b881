"""The parent run: one for each pipeline run, or the one that a server owns."""

from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import KFP_RUN, ParentRun


def test_without_a_pipeline_run_there_is_no_parent(server: MlflowConnection) -> None:
    parent = ParentRun(None, None)
    parent.start(server, "by hand")
    parent.end(server, "FINISHED")
    assert parent(server) is None


def test_a_pipeline_run_has_one_parent_from_start_to_end(server: MlflowConnection) -> None:
    parent = ParentRun(None, "pipeline-1")
    parent.start(server, "new orders")
    run_id = parent(server)
    assert run_id == ParentRun(None, "pipeline-1")(server) != ParentRun(None, "pipeline-2")(server)
    parent.end(server, "FAILED")
    stored = server.client.get_run(run_id)
    assert (stored.info.status, stored.info.run_name) == ("FAILED", "pipeline pipeline")
    assert (stored.data.tags[KFP_RUN], stored.data.tags["reason"]) == ("pipeline-1", "new orders")


def test_of_two_runs_that_were_created_at_once_all_use_the_older(server: MlflowConnection) -> None:
    create = server.client.create_run
    first, _ = (create(server.experiment_id(), start, {KFP_RUN: "pipeline-3"}).info.run_id for start in (1, 2))
    assert ParentRun(None, "pipeline-3")(server) == first


def test_the_run_above_a_task_of_the_server_is_the_parent_and_stays_open(server: MlflowConnection) -> None:
    pipeline_run = server.client.create_run(server.experiment_id()).info.run_id
    tags = {"mlflow.parentRunId": pipeline_run}
    task = server.client.create_run(server.experiment_id(), tags=tags).info.run_id
    parent = ParentRun(task, "a pipeline run")
    parent.start(server, "a schedule")
    parent.end(server, "FAILED")
    assert parent(server) == pipeline_run
    stored = server.client.get_run(pipeline_run)
    assert (stored.info.status, stored.data.tags["reason"]) == ("RUNNING", "a schedule")
    tracker = MlflowTracker(server.uri, "shop", find_parent=parent)
    with tracker.start_run("train_gan", {}, {}):
        pass
    assert server.client.get_run(str(tracker.last_run_id)).data.tags["mlflow.parentRunId"] == pipeline_run
