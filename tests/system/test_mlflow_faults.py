"""MLflow on PostgreSQL and S3 when something fails while a model is trained or registered."""

import logging
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import tiny_models
from tests.support.mlflow_interleaving import before, watch
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import Postgres
from tests.support.relay import Fault, Relay
from tests.support.tracked_training import is_whole, train

from adloom.context import StageContext
from adloom.errors import ExternalServiceError
from adloom.registry.base import CHAMPION, fetch_verified
from adloom.registry.mlflow import MlflowRegistry
from adloom.tracking import mlflow as mlflow_tracking
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.parent_run import no_parent

AWAY = "Connection refused; the training goes on; its numbers are queued and sent when it answers"
STILL_AWAY = "still away; `adloom run`, or register in a pipeline, sends the rest from the artifact"
BACK = "answers again; the queue is sent"

FAULTS: dict[str, Callable[[Relay], None]] = {
    "refused": lambda relay: relay.refuse(),
    "silent": lambda relay: relay.fail(Fault("silent", "write", 0)),
    "cut": lambda relay: relay.fail(Fault("cut", "write", 600, since=b"PUT ")),
}


@pytest.fixture
def world(context: StageContext, door: Relay, project: str) -> StageContext:
    """The context with MLflow behind a relay."""
    uri = f"http://127.0.0.1:{door.port}"
    return replace(context, tracker=MlflowTracker(uri, project), registry=MlflowRegistry(uri, project))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return adloom's log messages without the server's name."""
    caplog.set_level(logging.WARNING, "adloom")
    return lambda: [re.sub(r"^MLflow at [^ ]+: ", "", r.getMessage()) for r in caplog.records if "adloom" in r.name]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Calls fail after four seconds at most and are repeated at once, until the patch is undone."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(mlflow_tracking, "RETRY_SECONDS", 0)
    monkeypatch.setattr(mlflow_tracking, "RETRY_FACTOR", 0)
    return monkeypatch


def recover(relay: Relay) -> None:
    """Bring a server back that has lost its connections."""
    relay.refuse()
    relay.heal()


def only_run(client: Any, project: str) -> Any:
    (run,) = client.search_runs([client.get_experiment_by_name(project).experiment_id])
    return run


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_registering_sends_all_numbers_of_a_training_without_a_run(
    how: str,
    world: StageContext,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
    impatient: pytest.MonkeyPatch,
) -> None:
    impatient.setattr(mlflow_tracking, "RETRY_SECONDS", 30)
    FAULTS[how](door)
    artifact = train(world, table, models, tmp_path / "audience", {})
    assert len(warnings()) == 2
    assert warnings()[1] == STILL_AWAY
    assert world.tracker.last_run_id is None
    impatient.undo()
    recover(door)
    version = world.registry.register("audience", artifact, {})
    assert is_whole(client, only_run(client, project), artifact)
    assert (
        client.get_model_version(f"{project}-audience", str(version.version)).run_id
        == only_run(client, project).info.run_id
    )
    assert fetch_verified(world.registry, version, tmp_path / "fetched")


@pytest.mark.usefixtures("impatient")
def test_queued_numbers_are_sent_when_mlflow_is_back(
    world: StageContext,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
) -> None:
    artifact = train(world, table, models, tmp_path / "audience", {2: door.refuse, 4: door.heal})
    assert warnings() == [AWAY, BACK]
    run = only_run(client, project)
    assert is_whole(client, run, artifact)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["card.json"]
    assert world.tracker.last_run_id == run.info.run_id


def test_registering_sends_once_what_was_queued_at_the_end(
    world: StageContext,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
) -> None:
    began = time.monotonic()
    artifact = train(world, table, models, tmp_path / "audience", {3: door.refuse})
    assert warnings() == [AWAY, STILL_AWAY]
    assert time.monotonic() - began < 30
    broken_off = only_run(client, project)
    assert broken_off.info.status == "RUNNING"
    door.heal()
    for _ in range(2):
        world.registry.register("audience", artifact, {})
        run = only_run(client, project)
        assert run.info.run_id == broken_off.info.run_id
        assert is_whole(client, run, artifact)


def test_registering_in_a_pipeline_creates_the_missing_run_below_the_parent(
    registry: MlflowRegistry, context: StageContext, table: Path, models: Path, client: Any, tmp_path: Path
) -> None:
    elsewhere = client.create_experiment(f"{registry.project} of the server")
    above = client.create_run(elsewhere, run_name="pipeline").info.run_id
    artifact = train(context, table, models, tmp_path / "audience", {})
    for _ in range(2):
        MlflowRegistry(registry.uri, registry.project, find_parent=lambda server: str(above)).register(
            "audience", artifact, {}
        )
        (run,) = client.search_runs([elsewhere], f"tags.`mlflow.parentRunId` = '{above}'")
        assert is_whole(client, run, artifact)


def test_a_repeated_request_to_create_a_run_leaves_one_run(
    mlflow: MlflowServer, registry: MlflowRegistry, project: str
) -> None:
    registry._server.experiment_id()
    lost = [ConnectionError("the answer is lost")]

    def around(name: str, make: Callable[[], Any]) -> Any:
        answer = make()
        if name == "create_run" and lost:
            raise lost.pop()
        return answer

    run = mlflow_tracking.MlflowRun(watch(registry, around)._server, no_parent)
    run.open("train_gan", {"epochs": 1}, {})
    run.end("FINISHED")
    assert only_run(registry._server.client, project).info.run_id == run.run_id


@pytest.mark.usefixtures("impatient")
def test_a_permanent_error_is_logged_once(
    mlflow: MlflowServer, project: str, warnings: Callable[[], list[str]]
) -> None:
    tracker = MlflowTracker(mlflow.uri, project, find_parent=lambda server: "0" * 32)
    with tracker.start_run("train_gan", {"epochs": 1}, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
    assert [line.endswith("; the training goes on") for line in warnings()] == [True]
    assert tracker.last_run_id is None


@pytest.mark.parametrize("fault", FAULTS)
def test_without_s3_nothing_is_half_registered(
    fault: str,
    registry: MlflowRegistry,
    relay: Relay,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    impatient: pytest.MonkeyPatch,
) -> None:
    registry.set_alias("gan", CHAMPION, registry.register("gan", models / "gan", {}).version, "the first")
    before_it = (registry.versions("gan"), registry.alias_events("gan"))
    tiny_models.write_generator(tmp_path / "gan", channels=3)
    FAULTS[fault](relay)
    for model, artifact in (("gan", tmp_path / "gan"), ("cnn", models / "cnn")):
        with pytest.raises(
            ExternalServiceError, match=rf"^MLflow at [^ ]+: cannot keep the files of {artifact}: .*S3 up"
        ) as caught:
            registry.register(model, artifact, {"verdict": "promote"})
        assert "\n" not in str(caught.value)
    assert (registry.versions("gan"), registry.alias_events("gan")) == before_it
    assert client.search_registered_models(f"name = '{project}-cnn'") == []
    impatient.undo()
    recover(relay)
    for model, artifact in (("gan", tmp_path / "gan"), ("cnn", models / "cnn")):
        version = registry.register(model, artifact, {"verdict": "promote"})
        assert fetch_verified(registry, version, tmp_path / "fetched" / model)
    assert [version.aliases for version in registry.versions("gan")] == [(CHAMPION,), ()]


@pytest.mark.parametrize("call", ["create_run", "log_artifacts", "create_model_version", "set_registered_model_alias"])
def test_registering_is_repeatable_after_the_database_went_away(
    call: str, registry: MlflowRegistry, database: Postgres, models: Path, impatient: pytest.MonkeyPatch
) -> None:
    def register(registry: MlflowRegistry) -> None:
        registry.set_alias("gan", CHAMPION, registry.register("gan", models / "gan", {}).version, "the first")

    with pytest.raises(ExternalServiceError, match=r"^MLflow at [^ ]+: cannot [^\n]*database[^\n]*$"):
        register(watch(registry, before(call, lambda: database.end(signal.SIGQUIT))))
    impatient.undo()
    database.start()
    assert all(version.aliases == () for version in registry.versions("gan"))
    register(registry)
    assert [(version.version, version.aliases) for version in registry.versions("gan")] == [(1, (CHAMPION,))]
