"""MLflow on PostgreSQL and S3 when something fails while a model is trained or registered, and when two register."""

import base64
import json
import logging
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from tests import tiny_models
from tests.conftest import MakeTable
from tests.system.mlflow_server import MlflowServer
from tests.system.postgres import Postgres
from tests.system.relay import Fault, Relay
from tests.system.watched import before, race, watch

from adloom import promotion
from adloom.errors import OutsideError
from adloom.io import manifest, mlflow_tracking
from adloom.io.mlflow import MlflowRegistry, no_parent
from adloom.io.mlflow_tracking import MlflowTracker
from adloom.io.outside import Outside
from adloom.io.registry import CHALLENGER, CHAMPION, aliased, fetch_whole
from adloom.params import Source
from adloom.serving import sources
from adloom.tracked import tracked

PARAMS = Source(uri="by hand")
EPOCHS = (1, 2, 3, 4)
POINTS = {name: [(epoch, epoch / 2) for epoch in EPOCHS] for name in ("accuracy", "loss")}
AWAY = "Connection refused; the training goes on, and what it tells is kept and sent when it answers"
STILL_AWAY = "still away; `adloom run`, or a pipeline's register, sends it from what was made here"
BACK = "answers again; what was kept is sent"

FAULTS: dict[str, Callable[[Relay], None]] = {
    "refused": lambda relay: relay.refuse(),
    "silent": lambda relay: relay.fail(Fault("silent", "write", 0)),
    "cut": lambda relay: relay.fail(Fault("cut", "write", 600, since=b"PUT ")),
}

Events = Mapping[int, Callable[[], None]]  # what happens before an epoch


@pytest.fixture
def project() -> str:
    return f"shop-{uuid4().hex[:8]}"


@pytest.fixture
def registry(mlflow: MlflowServer, project: str) -> MlflowRegistry:
    return MlflowRegistry(mlflow.uri, project)


@pytest.fixture
def client(registry: MlflowRegistry) -> Any:
    """MLflow's own client, to look at what ours did."""
    return registry._server.client


@pytest.fixture
def door(mlflow: MlflowServer) -> Iterator[Relay]:
    """A relay in front of MLflow."""
    with Relay(mlflow.port) as door:
        yield door


@pytest.fixture
def world(outside: Outside, door: Relay, project: str) -> Outside:
    """The outside with MLflow behind the door."""
    uri = f"http://127.0.0.1:{door.port}"
    return replace(outside, tracker=MlflowTracker(uri, project), registry=MlflowRegistry(uri, project))


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    return make_table("events", pd.DataFrame({"split": ["calibration"]}))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what adloom's log says, without who says it."""
    caplog.set_level(logging.WARNING, "adloom")
    return lambda: [re.sub(r"^MLflow at [^ ]+: ", "", r.getMessage()) for r in caplog.records if "adloom" in r.name]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A failure is known after four seconds at most, and MLflow is asked again at once, until this is undone."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(mlflow_tracking, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(mlflow_tracking, "AGAIN_FACTOR", 0)
    return monkeypatch


def recover(relay: Relay) -> None:
    """Let a server be there again, which knows nothing of connections made before."""
    relay.refuse()
    relay.heal()


def train(world: Outside, table: Path, models: Path, target: Path, events: Events) -> Path:
    """Train nothing, but tell of it as a training does."""
    with tracked("segment", table, target, PARAMS, world) as (made, run):
        shutil.copy(models / "audience" / "segmenter.npz", made.path)
        for epoch in EPOCHS:
            events.get(epoch, lambda: None)()
            run.metrics({name: points[epoch - 1][1] for name, points in POINTS.items()}, epoch)
        made.write_json("history.json", POINTS)
        made.describe({}, PARAMS)
        run.artifact(made.path / "card.json")
    return target


def only_run(client: Any, project: str) -> Any:
    (run,) = client.search_runs([client.get_experiment_by_name(project).experiment_id])
    return run


def is_whole(client: Any, run: Any, artifact: Path) -> bool:
    """Return whether a run has all of a training's params, points (each once) and tags, and has ended well."""
    made = manifest.read(artifact)
    tags = {"manifest_digest": manifest.digest(artifact), "params_digest": made.params}
    tags["dataset_digest"] = made.inputs["table"]
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in POINTS}
    assert (run.info.run_name, run.info.status) == ("segment", "FINISHED")
    assert {name: sorted((m.step, m.value) for m in points) for name, points in histories.items()} == POINTS
    assert run.data.params == {name: str(value) for name, value in PARAMS.model_dump(mode="json").items()}
    return set(tags.items()) <= set(run.data.tags.items())


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_training_that_mlflow_never_heard_of_is_registered_with_all_its_numbers(
    how: str,
    world: Outside,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    said: Callable[[], list[str]],
    impatient: pytest.MonkeyPatch,
) -> None:
    impatient.setattr(mlflow_tracking, "AGAIN_SECONDS", 30)
    FAULTS[how](door)
    made = train(world, table, models, tmp_path / "audience", {})
    assert len(said()) == 2
    assert said()[1] == STILL_AWAY
    assert world.tracker.latest is None
    impatient.undo()
    recover(door)
    version = world.registry.register("audience", made, {})
    assert is_whole(client, only_run(client, project), made)
    assert (
        client.get_model_version(f"{project}-audience", str(version.version)).run_id
        == only_run(client, project).info.run_id
    )
    assert fetch_whole(world.registry, version, tmp_path / "fetched")


@pytest.mark.usefixtures("impatient")
def test_what_mlflow_missed_in_the_middle_is_sent_when_it_is_back(
    world: Outside,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    said: Callable[[], list[str]],
) -> None:
    made = train(world, table, models, tmp_path / "audience", {2: door.refuse, 4: door.heal})
    assert said() == [AWAY, BACK]
    run = only_run(client, project)
    assert is_whole(client, run, made)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["card.json"]
    assert world.tracker.latest == run.info.run_id


def test_what_mlflow_missed_until_the_end_is_brought_in_once_by_registering(
    world: Outside,
    door: Relay,
    table: Path,
    models: Path,
    client: Any,
    project: str,
    tmp_path: Path,
    said: Callable[[], list[str]],
) -> None:
    began = time.monotonic()
    made = train(world, table, models, tmp_path / "audience", {3: door.refuse})
    assert said() == [AWAY, STILL_AWAY]
    assert time.monotonic() - began < 30
    broken_off = only_run(client, project)
    assert broken_off.info.status == "RUNNING"
    door.heal()
    for _ in range(2):
        world.registry.register("audience", made, {})
        run = only_run(client, project)
        assert run.info.run_id == broken_off.info.run_id
        assert is_whole(client, run, made)


def test_a_run_whose_opening_was_heard_and_not_answered_is_one_run(
    mlflow: MlflowServer, registry: MlflowRegistry, project: str
) -> None:
    registry._server.experiment()
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
def test_what_mlflow_will_never_take_is_said_once(
    mlflow: MlflowServer, project: str, said: Callable[[], list[str]]
) -> None:
    tracker = MlflowTracker(mlflow.uri, project, parent=lambda server: "0" * 32)
    with tracker.run("train_gan", {"epochs": 1}, {}) as run:
        run.metrics({"loss": 1.0}, 1)
    assert [line.endswith("; the training goes on") for line in said()] == [True]
    assert tracker.latest is None


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
    registry.point("gan", CHAMPION, registry.register("gan", models / "gan", {}).version, "the first")
    before_it = (registry.versions("gan"), registry.moves("gan"))
    tiny_models.write_generator(tmp_path / "gan", channels=3)
    FAULTS[fault](relay)
    for model, artifact in (("gan", tmp_path / "gan"), ("cnn", models / "cnn")):
        with pytest.raises(
            OutsideError, match=rf"^MLflow at [^ ]+: cannot keep the files of {artifact}: .*S3 up"
        ) as caught:
            registry.register(model, artifact, {"verdict": "promote"})
        assert "\n" not in str(caught.value)
    assert (registry.versions("gan"), registry.moves("gan")) == before_it
    assert client.search_registered_models(f"name = '{project}-cnn'") == []
    impatient.undo()
    recover(relay)
    for model, artifact in (("gan", tmp_path / "gan"), ("cnn", models / "cnn")):
        version = registry.register(model, artifact, {"verdict": "promote"})
        assert fetch_whole(registry, version, tmp_path / "fetched" / model)
    assert [version.aliases for version in registry.versions("gan")] == [(CHAMPION,), ()]


@pytest.mark.parametrize("call", ["create_run", "log_artifacts", "create_model_version", "set_registered_model_alias"])
def test_a_database_that_goes_away_while_registering_leaves_nothing_that_does_not_mend(
    call: str, registry: MlflowRegistry, database: Postgres, models: Path, impatient: pytest.MonkeyPatch
) -> None:
    def register(registry: MlflowRegistry) -> None:
        registry.point("gan", CHAMPION, registry.register("gan", models / "gan", {}).version, "the first")

    with pytest.raises(OutsideError, match=r"^MLflow at [^ ]+: cannot [^\n]*database[^\n]*$"):
        register(watch(registry, before(call, lambda: database.end(signal.SIGQUIT))))
    impatient.undo()
    database.start()
    assert all(version.aliases == () for version in registry.versions("gan"))
    register(registry)
    assert [(version.version, version.aliases) for version in registry.versions("gan")] == [(1, (CHAMPION,))]


def turns(count: int) -> list[str]:
    """Return who makes the next call, for each call: one after the other, by turns, and by chance."""
    rng = random.Random(7)
    return [
        "AAAAAAAA",
        "ABABABABAB",
        "AABBAABBAABB",
        "ABBBBBBBBA",
        *("".join(rng.choices("AB", k=16)) for _ in range(count)),
    ]


def test_two_who_move_an_alias_at_once_leave_one_order_and_both_moves(
    registry: MlflowRegistry, models: Path, tmp_path: Path
) -> None:
    tiny_models.write_generator(tmp_path / "other", channels=2)
    one, two = (registry.register("gan", path, {}).version for path in (models / "gan", tmp_path / "other"))
    for number, order in enumerate(turns(6), 1):
        now = race(
            registry,
            order,
            lambda mine: mine.point("gan", CHAMPION, one, "A's reason", by="person"),
            lambda mine: mine.point("gan", CHAMPION, two, "B's reason"),
        )
        moves = registry.moves("gan")
        assert sorted(move.reason for move in moves[-2:]) == ["A's reason", "B's reason"], order
        assert len(moves) == 2 * number
        champion = aliased(registry.versions("gan"), CHAMPION)
        assert champion
        assert champion.version == moves[-1].version, order
        assert champion.version in now


def test_two_who_register_the_same_at_once_make_one_version(
    registry: MlflowRegistry, models: Path, tmp_path: Path
) -> None:
    for number, order in enumerate(turns(1)):
        model = f"gan-{number}"
        register = methodcaller("register", model, models / "gan", {"verdict": "hold"})
        made = race(registry, order, register, register)
        (version,) = registry.versions(model)
        assert [other.version for other in made] == [version.version] * 2, order
        assert version.tags["verdict"] == "hold"
        assert fetch_whole(registry, version, tmp_path / model)


def test_a_registry_of_the_version_before_is_read_and_goes_on(
    registry: MlflowRegistry, client: Any, project: str, tmp_path: Path
) -> None:
    load(
        json.loads((Path(__file__).parents[1] / "data/registry_of_0_1.json").read_text(encoding="utf-8")),
        client,
        project,
        tmp_path,
    )
    text = "\n".join(promotion.lines(list(promotion.overview(registry))))
    assert re.findall(r"\((gate|rollback|person)\): (.*)", text) == [
        ("gate", "registered"),
        ("gate", "smallest_segment 2 (1): at least 1, très bien"),
        ("rollback", "the second names its users by another key"),
        ("rollback", "it was not"),
        ("gate", "registered"),
        ("gate", "smallest_segment 2 (2): at least 1, très bien"),
        ("person", "no, that key is the right one"),
    ]
    served = sources.champions(registry, tmp_path / "home")["audience"]
    assert isinstance(served, sources.Found)
    assert served.version == 1
    assert manifest.verify(served.folder).stage == "segment"
    promotion.promote(registry, "audience", 2, "it was, after all")
    assert promotion.rollback(registry, "audience", "no") == 1
    assert [move.reason for move in registry.moves("audience")][-3:] == ["it was not", "it was, after all", "no"]
    assert [version.aliases for version in registry.versions("audience")] == [(CHAMPION,), (CHALLENGER,)]


def load(old: dict[str, Any], client: Any, project: str, place: Path) -> None:
    """Write a registry that another version of adloom left into MLflow."""
    name = old["name"].replace("shop", project)
    client.create_registered_model(name, tags=old["tags"])
    experiment = client.create_experiment(project)
    for version in old["versions"]:
        run = client.create_run(experiment, run_name=version["run"]["name"], tags=version["run"]["tags"])
        folder = place / str(version["version"])
        folder.mkdir()
        for file, content in version["files"].items():
            (folder / file).write_bytes(base64.b64decode(content))
        client.log_artifacts(run.info.run_id, str(folder), "model")
        client.set_terminated(run.info.run_id)
        client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id, tags=version["tags"])
    for alias, version in old["aliases"].items():
        client.set_registered_model_alias(name, alias, str(version))
