"""The registry in MLflow on PostgreSQL when two use it at once, and one that an earlier version left."""

import base64
import json
import random
import re
from operator import methodcaller
from pathlib import Path
from typing import Any

import httpx
from tests.support import tiny_models
from tests.support.mlflow_interleaving import race
from tests.support.mlflow_server import MlflowServer
from tests.support.tracked_training import is_whole, train

from adloom.context import StageContext
from adloom.registry import promotion
from adloom.registry.base import CHALLENGER, CHAMPION, fetch_verified, find_alias
from adloom.registry.mlflow import MlflowRegistry
from adloom.serving.models import sources
from adloom.serving.models.bundle_cache import BundleCache
from adloom.storage import manifest


def turns(count: int) -> list[str]:
    """Return who makes the next call, for each call: in a row, A between looking and writing, by turns, by chance."""
    rng = random.Random(7)
    worst = ["AAAAAAAAAA", "AAAABBBBBBBBA", "BBBBBBBBBB", "BBBBAAAAAAAAB", "ABABABABABAB"]
    return [*worst, *("".join(rng.choices("AB", k=16)) for _ in range(count))]


def test_two_processes_that_move_an_alias_leave_both_events_in_one_order(
    registry: MlflowRegistry, models: Path, tmp_path: Path
) -> None:
    tiny_models.write_generator(tmp_path / "other", channels=2)
    one, two = (registry.register("gan", path, {}).version for path in (models / "gan", tmp_path / "other"))
    for number, order in enumerate(turns(5), 1):
        now = race(
            registry,
            order,
            lambda mine: mine.set_alias("gan", CHAMPION, one, "A's reason", by="person"),
            lambda mine: mine.set_alias("gan", CHAMPION, two, "B's reason"),
        )
        moves = registry.alias_events("gan")
        assert sorted(move.reason for move in moves[-2:]) == ["A's reason", "B's reason"], order
        assert len(moves) == 2 * number
        champion = find_alias(registry.versions("gan"), CHAMPION)
        assert champion
        assert champion.version == moves[-1].version, order
        assert champion.version in now


def test_two_processes_that_register_the_same_artifact_make_one_version(
    registry: MlflowRegistry, models: Path, tmp_path: Path
) -> None:
    for number, order in enumerate(turns(0)):
        model = f"gan-{number}"
        register = methodcaller("register", model, models / "gan", {"verdict": "hold"})
        versions = race(registry, order, register, register)
        (version,) = registry.versions(model)
        assert [other.version for other in versions] == [version.version] * 2, order
        assert version.tags["verdict"] == "hold"
        assert fetch_verified(registry, version, tmp_path / model)


def test_two_processes_that_complete_an_unfinished_run_send_each_number_once(
    registry: MlflowRegistry, context: StageContext, table: Path, models: Path, client: Any, tmp_path: Path
) -> None:
    artifact = train(context, table, models, tmp_path / "audience", {})
    tags = {"dataset_digest": manifest.digest(table), "params_digest": manifest.read(artifact).params}
    run_id = client.create_run(registry._server.experiment_id(), run_name="segment", tags=tags).info.run_id
    register = methodcaller("register", "audience", artifact, {})
    race(registry, "AB" * 20, register, register)
    assert is_whole(client, client.get_run(run_id), artifact)
    (version,) = registry.versions("audience")
    assert client.get_model_version(f"{registry.project}-audience", str(version.version)).run_id == run_id


def test_a_registry_of_the_previous_version_is_read_and_extended(
    registry: MlflowRegistry, client: Any, project: str, tmp_path: Path
) -> None:
    load(
        json.loads((Path(__file__).parents[1] / "data/registry_of_0_1.json").read_text(encoding="utf-8")),
        client,
        project,
        tmp_path,
    )
    text = "\n".join(promotion.format_rows(list(promotion.summarize(registry))))
    assert re.findall(r"\((gate|rollback|person)\): (.*)", text) == [
        ("gate", "registered"),
        ("gate", "smallest_segment 2 (1): at least 1, très bien"),
        ("rollback", "the second names its users by another key"),
        ("rollback", "it was not"),
        ("gate", "registered"),
        ("gate", "smallest_segment 2 (2): at least 1, très bien"),
        ("person", "no, that key is the right one"),
    ]
    served = sources.find_champions(registry, BundleCache(tmp_path / "bundles"))["audience"]
    assert isinstance(served, sources.ModelArtifact)
    assert served.version == 1
    assert manifest.verify(served.folder).stage == "segment"
    promotion.promote(registry, "audience", 2, "it was, after all")
    assert [named.version for named in promotion.rollback(registry, "audience", "no")] == [1]
    assert [move.reason for move in registry.alias_events("audience")][-3:] == ["it was not", "it was, after all", "no"]
    assert [version.aliases for version in registry.versions("audience")] == [(CHAMPION,), (CHALLENGER,)]


def test_files_are_downloaded_through_the_server(
    registry: MlflowRegistry, mlflow: MlflowServer, models: Path, tmp_path: Path
) -> None:
    offered = httpx.get(f"{mlflow.uri}/api/3.0/mlflow/server-info").json()
    assert offered["multipart_downloads_enabled"]  # addresses in S3, which lead nowhere from here
    version = registry.register("gan", models / "gan", {})
    assert manifest.is_complete(fetch_verified(registry, version, tmp_path / "fetched"), version.digest)


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
