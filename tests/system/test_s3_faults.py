"""S3 that goes away in the middle of every stage: tried again, else one line; the same command then goes on."""

import importlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import seaweedfs, shop
from tests.support.relay import Fault, Relay
from tests.support.seaweedfs import BUCKET, Server

from adloom.config import params
from adloom.config.base import ConfigModel
from adloom.config.models import MODELS
from adloom.config.params import TABLES, Params
from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.errors import AdloomError, ArtifactError, ConfigError, DataError, ExternalServiceError
from adloom.registry.base import CHAMPION
from adloom.registry.memory import MemoryRegistry
from adloom.stages import runner, sources_lock
from adloom.storage import manifest, s3_client
from adloom.storage.base import Store
from adloom.storage.router import open_object_store
from adloom.storage.s3 import S3Store
from adloom.storage.s3_client import S3Options
from adloom.storage.s3_errors import S3_RETRY
from adloom.tracking.memory import MemoryTracker

BRISK = S3Options(retry=replace(S3_RETRY, pauses=(0.02, 0.05)))  # three tries, as shipped
ENDS_WITHIN = 30  # seconds
MADE = f"s3://{BUCKET}/made"
DATASET = {table: f"data/dataset/{table}" for table in TABLES}
REPORTS = {model: f"reports/{model}" for model in MODELS}


@dataclass(frozen=True)
class Case:
    """A stage with its inputs and outputs, as paths below the folder and the prefix in which everything is made."""

    stage: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


CASES = (
    Case("ingest", {"sources": "sources.lock"}, {table: f"data/raw/{table}" for table in TABLES}),
    Case("prepare", {"sources": "sources.lock"} | {f"raw_{table}": f"data/raw/{table}" for table in TABLES}, DATASET),
    Case("train-gan", {"creatives": DATASET["creatives"]}, {"gan": "models/gan"}),
    Case("train-cnn", {"creatives": DATASET["creatives"]}, {"cnn": "models/cnn"}),
    Case("train-lstm", {"copy": DATASET["copy"]}, {"lstm": "models/lstm"}),
    Case("segment", {"events": DATASET["events"]}, {"audience": "models/audience"}),
    Case(
        "train-policy",
        {
            "impressions": DATASET["impressions"],
            "audience": "models/audience",
            "creatives": DATASET["creatives"],
            "cnn": "models/cnn",
            "copy": DATASET["copy"],
        },
        {"policy": "models/policy"},
    ),
    Case(
        "evaluate",
        {"model": "models/audience", "table": DATASET["events"], "judge": "models/cnn"},
        {"report": REPORTS["audience"]},
    ),
    Case("report", DATASET | REPORTS, {"report": "reports/report"}),
    Case(
        "register",
        {
            "model": "models/audience",
            "table": DATASET["events"],
            "judge": "models/cnn",
            "report": REPORTS["audience"],
        },
        {},
    ),
    Case("score", {"creatives": DATASET["creatives"], "events": DATASET["events"]}, {"scored": "data/scored"}),
)
every_stage = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stage)


@dataclass(frozen=True)
class Made:
    """A folder in which every stage has run once; all of it lies below MADE, too."""

    folder: Path
    params: Params
    far: Store  # behind the relay

    def bytes(self, paths: Mapping[str, str]) -> int:
        """Bytes of all files below some paths; what ingest reads are the shop's files."""
        places = [self.folder / path for path in paths.values() if path != "sources.lock"] or [self.folder / "shop"]
        return sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def made(server: Server, relay_of_all: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        seaweedfs.visit(server, patch)
        patch.setenv("AWS_ENDPOINT_URL_S3", relay_of_all.endpoint)
        patch.chdir(folder)
        made = Made(folder, small_shop(folder), open_store(Settings(quiet=True), BRISK))
        send(server, folder / "shop", "shop")
        world = outside(folder, made.far)
        sources_lock.save(sources_lock.scan(made.params, world), sources_lock.LOCK)
        for model in REPORTS.keys() - {"audience"}:
            manifest.skip(Path(REPORTS[model]), "evaluate", ConfigModel(), "not measured here")
        for case in CASES:
            if case.stage == "score":
                crown(made, world)
            make(case, made, world)
        for name in ("data", "models", "reports", "sources.lock"):
            send(server, folder / name, f"made/{name}")
        yield made


def crown(made: Made, world: StageContext) -> None:
    """Make the models champions, which scoring asks for."""
    for model in ("cnn", "audience"):
        version = world.registry.register(model, made.folder / "models" / model, {})
        world.registry.set_alias(model, CHAMPION, version.version, "by hand")


def outside(folder: Path, store: Store) -> StageContext:
    return StageContext(
        store=store,
        tracker=MemoryTracker(),
        registry=MemoryRegistry(folder / "registry"),
        pseudonym_key=b"a key for tests only",
        home=folder / ".adloom",
        progress=False,
    )


def small_shop(folder: Path) -> Params:
    """Write the shop, which will lie in S3, and return the params of the smallest trainings."""
    values = shop.write_shop(folder, size=32)
    for source in values["ingest"].values():
        source["uri"] = f"s3://{BUCKET}/{source['uri']}"
    for training in ("train_gan", "train_cnn", "train_lstm"):
        values[training] |= {"epochs": 1, "steps_per_epoch": 2, "threads": 1}
    values["segment"] |= {"algorithms": ["kmeans"], "bootstraps": 2}
    return params.load(shop.write_params(folder, values))


def make(case: Case, made: Made, world: StageContext) -> None:
    """Run a stage without its caller, who would discard the checkpoint of a training that is done."""
    name = case.stage.replace("-", "_")
    module = importlib.import_module(f"adloom.stages.{name}")
    inputs, outputs = ({n: Path(path) for n, path in paths.items()} for paths in (case.inputs, case.outputs))
    module.run(module.Inputs(**inputs), module.Outputs(**outputs), made.params.block(name), world)


def send(server: Server, place: Path, key: str) -> None:
    for path in [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]:
        server.put(BUCKET, f"{key}/{path.relative_to(place)}".removesuffix("/."), path.read_bytes())


@pytest.fixture
def world(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """An empty folder, S3 behind the relay, and the checkpoints of trainings that are done but for their last push."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.folder / ".adloom" / "checkpoints", tmp_path / ".adloom" / "checkpoints")
    world = outside(tmp_path, made.far)
    crown(made, world)
    return world


def call(case: Case, made: Made, world: StageContext, to: str) -> None:
    """Run a stage whose inputs and outputs all lie in S3."""
    inputs = {name: f"{MADE}/{path}" for name, path in case.inputs.items()}
    outputs = {name: f"{to}/{path}" for name, path in case.outputs.items()}
    runner.run_from_params(case.stage, inputs | outputs, made.params, world)


def catch_line(kind: type[AdloomError], case: Case, made: Made, world: StageContext, to: str) -> str:
    """Return the one line that a stage fails with, when it leaves nothing here."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        call(case, made, world, to)
    assert time.monotonic() - started < ENDS_WITHIN
    assert "\n" not in str(caught.value)
    assert left() == []
    return str(caught.value)


def left() -> list[Path]:
    """What lies in scratch folders and where stages write by default."""
    written = [path for path in map(Path, ("data", "models", "reports")) if path.exists()]
    return [*Path("scratch").iterdir(), *Path(".adloom").glob("ingest-*"), *written]


@every_stage
def test_s3_that_fails_while_a_stage_reads_is_one_line(
    case: Case, made: Made, world: StageContext, relay: Relay
) -> None:
    relay.fail(Fault("cut", "read", after=made.bytes(case.inputs) // 2))
    line = catch_line(ExternalServiceError, case, made, world, f"s3://{BUCKET}/unread")
    assert f"no answer from {relay.endpoint}" in line


@every_stage
def test_the_same_command_continues_after_s3_failed_while_a_stage_wrote(
    case: Case, made: Made, world: StageContext, relay: Relay, server: Server
) -> None:
    to, half, before = f"again/{case.stage}", made.bytes(case.outputs) // 2, checkpoint(case, world)
    if case.outputs:
        relay.fail(Fault("cut", "write", after=half, since=b"PUT "))
        assert f"no answer from {relay.endpoint}" in catch_line(
            ExternalServiceError, case, made, world, f"s3://{BUCKET}/{to}"
        )
        whole = [path for path in case.outputs.values() if "manifest.json" in server.keys(BUCKET, f"{to}/{path}/")]
        assert len(whole) < len(case.outputs)
        assert all(found(server, f"{to}/{path}") == lies(made.folder / path) for path in whole)
        assert checkpoint(case, world) == before
    reads = Fault("cut", "read", after=made.bytes(case.inputs) // 2, then=1)
    writes = Fault("cut", "write", after=half, then=1, since=b"PUT ")
    relay.fail(*([reads, writes] if case.outputs else [reads]))
    call(case, made, world, f"s3://{BUCKET}/{to}")
    assert relay.whole
    for path in case.outputs.values():
        assert found(server, f"{to}/{path}") == lies(made.folder / path)
    assert left() == []
    assert checkpoint(case, world) == []


def checkpoint(case: Case, world: StageContext) -> list[Path]:
    return [*world.home.glob(f"checkpoints/{case.stage.replace('-', '_')}/*/last.ckpt")]


def found(server: Server, prefix: str) -> dict[str, bytes]:
    return {name: server.get(BUCKET, f"{prefix}/{name}") for name in server.keys(BUCKET, f"{prefix}/")}


def lies(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@every_stage
def test_a_missing_bucket_is_one_line_and_outputs_are_checked_first(
    case: Case, made: Made, world: StageContext
) -> None:
    far = {name: f"s3://no-such-bucket/in/{path}" for name, path in case.inputs.items()}
    for paths in (far, far | {name: f"s3://no-such-bucket/out/{path}" for name, path in case.outputs.items()}):
        with pytest.raises(DataError) as caught:
            runner.run_from_params(case.stage, paths, made.params, world)
        place = "out" if case.outputs.keys() & paths.keys() else "in"
        assert str(caught.value).startswith(f"s3://no-such-bucket/{place}/")
        assert "no bucket no-such-bucket at http" in str(caught.value)
        assert left() == []


def test_refused_credentials_of_an_output_are_reported_before_anything_is_read(
    made: Made, world: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stranger = replace(world, store=open_store(Settings(quiet=True), BRISK))
    paths = {"events": f"s3://{BUCKET}/nothing-here", "audience": f"s3://{BUCKET}/out"}
    with pytest.raises(ConfigError, match=r"s3://shop/out: .* refused the credentials \(SignatureDoesNotMatch\)"):
        runner.run_from_params("segment", paths, made.params, stranger)


def artifact(folder: Path, content: bytes) -> Path:
    with manifest.draft(folder, "toy", ConfigModel(), {}) as draft:
        for number in range(20):
            (draft.path / f"{number}-{len(content)}").write_bytes(content)
    return folder


def test_a_failed_push_leaves_the_old_artifact_complete_or_without_its_manifest(
    made: Made, world: StageContext, relay: Relay, tmp_path: Path
) -> None:
    old, new = artifact(tmp_path / "old", b"o" * 30_000), artifact(tmp_path / "new", b"n" * 40_000)
    to, store = f"s3://{BUCKET}/replaced", world.store
    store.push(old, to)
    relay.refuse()
    with pytest.raises(ExternalServiceError, match=f"{to}: no answer from http://127.0.0.1"):
        store.push(new, to)
    relay.heal()
    assert manifest.digest(store.fetch(to, tmp_path / "a")) == manifest.digest(old)
    relay.fail(Fault("cut", "write", after=400_000, since=b"PUT "))
    with pytest.raises(ExternalServiceError, match=f"{to}: no answer from http://127.0.0.1"):
        store.push(new, to)
    relay.heal()
    with pytest.raises(ArtifactError, match="no manifest.json"):
        manifest.verify(store.fetch(to, tmp_path / "b"))
    store.push(new, to)
    assert lies(store.fetch(to, tmp_path / "c")) == lies(new)


@pytest.mark.parametrize("direction", ["read", "write"])
def test_a_request_is_retried_when_the_server_is_silent_for_a_moment(
    made: Made, world: StageContext, relay: Relay, tmp_path: Path, direction: str
) -> None:
    sent, to = artifact(tmp_path / "sent", b"s" * 30_000), f"s3://{BUCKET}/silent-{direction}"
    store = S3Store(relay.endpoint, progress=False, options=replace(BRISK, read_timeout=1))
    if direction == "write":
        relay.fail(Fault("silent", "write", after=300_000, then=1, since=b"PUT "))
    store.push(sent, to)
    if direction == "read":
        relay.fail(Fault("silent", "read", after=300_000, then=1))
    assert lies(store.fetch(to, tmp_path / "fetched")) == lies(sent)
    assert relay.whole


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that travels in three parts, the smallest that S3 allows."""
    monkeypatch.setattr(s3_client, "MULTIPART_THRESHOLD", 6 << 20)
    monkeypatch.setattr(s3_client, "PART", 5 << 20)
    (tmp_path / "large").write_bytes(np.random.default_rng(1).bytes(12 << 20))
    return tmp_path / "large"


def test_an_upload_in_parts_is_retried_after_a_cut(made: Made, server: Server, relay: Relay, parts: Path) -> None:
    relay.fail(Fault("cut", "write", after=7 << 20, then=0))
    store = open_object_store(f"s3://{BUCKET}/parts", relay.endpoint, BRISK)
    store.put(parts, "large")
    assert relay.whole
    assert server.get(BUCKET, "parts/large") == parts.read_bytes()
    assert store.list("large")["large"].version.endswith("-3")
    assert store.get("large", parts.with_name("back")).read_bytes() == parts.read_bytes()
    assert server.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_a_silent_server_ends_a_download_and_an_upload_in_parts_within_half_a_minute(
    made: Made, server: Server, relay: Relay, parts: Path, tmp_path: Path
) -> None:
    """Both at once: each waits for its last attempt."""
    relay.fail(Fault("silent", "read", after=made.bytes({"": DATASET["creatives"]}) // 2))
    with Relay(server.port) as other, ThreadPoolExecutor(2) as pool:
        other.fail(Fault("silent", "write", after=7 << 20))
        started = time.monotonic()
        download = S3Store(relay.endpoint, progress=False).fetch
        upload = open_object_store(f"s3://{BUCKET}/silent-parts", other.endpoint).put
        fetched = pool.submit(download, f"{MADE}/{DATASET['creatives']}", tmp_path / "fetched")
        put = pool.submit(upload, parts, "large")
        with pytest.raises(ExternalServiceError, match=f"no answer from {relay.endpoint}: .*Read timed out") as caught:
            fetched.result()
        with pytest.raises(ExternalServiceError, match=f"no answer from {other.endpoint}"):
            put.result()
        assert time.monotonic() - started < ENDS_WITHIN
    assert "\n" not in str(caught.value)
    assert server.keys(BUCKET, "silent-parts/") == set()
