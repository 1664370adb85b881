"""S3 for real: SeaweedFS as the server, sources and artifacts in it, and every refusal as one line in seconds."""

import threading
import time
from collections.abc import Collection
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from tests.support.seaweedfs import Server
from tests.support.silent_port import silent_port

from adloom.config import params
from adloom.config.base import ConfigModel
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.errors import AdloomError, ConfigError, DataError, ExternalServiceError
from adloom.stages import runner, sources_lock
from adloom.storage import manifest, parquet
from adloom.storage.base import SourceFile
from adloom.storage.router import StoreRouter
from adloom.storage.s3 import S3Store

SHIPPED = Path(__file__).parents[2] / "params.yaml"
ANSWER_WITHIN = 15  # seconds
ORDERS = b"user_id,timestamp,value\nann,2026-01-05,9.99\nbob,2026-07-06,5\ncid,2026-02-01,1\n"


def shop(uri: str) -> Params:
    """Params that read events from a uri and nothing else."""
    values = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    values["ingest"] = {"events": {"uri": uri, "format": "csv", "constants": {"event": "purchase"}}}
    values["prepare"]["events"] = {"holdout_start": "2026-07-01", "end": "2026-10-01"}
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return params.load(Path("params.yaml"))


def locked(loaded: Params, world: StageContext) -> sources_lock.SourcesLock:
    lock = sources_lock.scan(loaded, world)
    sources_lock.save(lock, sources_lock.LOCK)
    return lock


def test_a_source_in_s3_is_locked_by_its_etag_and_ingested(environment: Server, world: StageContext) -> None:
    environment.put("shop", "orders/2026/a.csv", ORDERS)
    environment.put("shop", "orders/2026/b.csv", ORDERS.replace(b"ann", b"eve"))
    environment.put("shop", "orders-of-another/c.csv", b"not ours")
    loaded = shop("s3://shop/orders")
    files = locked(loaded, world).tables["events"].files
    assert [file.path for file in files] == ["2026/a.csv", "2026/b.csv"]
    etag = environment.client.head_object(Bucket="shop", Key="orders/2026/a.csv")["ETag"].strip('"')
    assert (files[0].bytes, files[0].version) == (len(ORDERS), f"etag:{etag}")
    assert runner.run_from_params("ingest", {}, loaded, world) == {"events_rows": 6}
    raw = parquet.read(Path("data/raw/events"), name="rows_unchecked")
    assert raw["user_id"].tolist() == ["ann", "bob", "cid", "eve", "bob", "cid"]
    assert not [*world.home.glob("ingest-*")]


def test_markers_and_unfinished_files_in_s3_are_neither_locked_nor_fetched(
    environment: Server, world: StageContext
) -> None:
    for key in ("_SUCCESS", "dt=1_$folder$", "_temporary/0/a.csv", "dt=1/a.csv", "dt=1/.a.csv.crc"):
        environment.put("shop", f"spark/{key}", ORDERS if key.endswith(".csv") else b"")
    loaded = shop("s3://shop/spark")
    assert [file.path for file in locked(loaded, world).tables["events"].files] == ["dt=1/a.csv"]
    assert runner.run_from_params("ingest", {}, loaded, world) == {"events_rows": 3}
    assert set(parquet.read(Path("data/raw/events"), name="rows_unchecked")["dt"]) == {"1"}


def test_a_single_object_is_a_source_too(environment: Server, world: StageContext) -> None:
    environment.put("shop", "single/orders.csv", ORDERS)
    loaded = shop("s3://shop/single/orders.csv")
    assert [file.path for file in locked(loaded, world).tables["events"].files] == ["orders.csv"]
    assert runner.run_from_params("ingest", {}, loaded, world) == {"events_rows": 3}


def test_stages_read_and_write_s3_as_they_do_folders(environment: Server, world: StageContext) -> None:
    environment.put("shop", "way/orders.csv", ORDERS)
    loaded = shop("s3://shop/way/orders.csv")
    locked(loaded, world)
    raw = {table: f"s3://shop/run/raw/{table}" for table in params.TABLES}
    dataset = {table: f"s3://shop/run/dataset/{table}" for table in params.TABLES}
    runner.run_from_params("ingest", raw, loaded, world)
    runner.run_from_params("prepare", {**{f"raw_{table}": uri for table, uri in raw.items()}, **dataset}, loaded, world)
    assert not Path("data").exists()
    events = world.store.fetch(dataset["events"], Path("fetched"))
    assert manifest.verify(events).rows == {"calibration": 2, "holdout": 1, "quarantined": 0, "dropped": 0}
    assert parquet.read(events)["split"].tolist() == ["calibration", "holdout", "calibration"]


def artifact(folder: Path, *names: str) -> Path:
    with manifest.draft(folder, "toy", ConfigModel(), {}) as draft:
        for name in names:
            (draft.path / name).write_text(f"{name} of {folder.name}")
    return folder


def test_the_start_of_an_object_is_read_without_the_rest(environment: Server, world: StageContext) -> None:
    environment.put("shop", "start/orders.csv", ORDERS)
    environment.put("shop", "start/empty.csv", b"")
    for size in (7, 1000):
        assert world.store.read_start("s3://shop/start/orders.csv", size) == ORDERS[:size]
    assert world.store.read_start("s3://shop/start/empty.csv", 7) == b""
    with pytest.raises(DataError, match="deleted"):
        world.store.read_start("s3://shop/start/gone.csv", 7)


def test_a_push_deletes_only_the_old_artifact(environment: Server, world: StageContext, tmp_path: Path) -> None:
    old, new = artifact(tmp_path / "old", "rows-0", "rows-1"), artifact(tmp_path / "new", "rows-0")
    world.store.push(old, "s3://shop/out/events")
    for name in ("events/rows-9", "events/notes/a.txt", "events-of-another/kept"):
        environment.put("shop", f"out/{name}", b"not ours")
    world.store.push(new, "s3://shop/out/events")
    strangers = {"events/rows-9", "events/notes/a.txt", "events-of-another/kept"}
    assert environment.keys("shop", "out/") == {"events/manifest.json", "events/rows-0"} | strangers
    fetched = world.store.fetch("s3://shop/out/events", tmp_path / "fetched")
    assert sorted(path.name for path in fetched.iterdir()) == ["manifest.json", "rows-0"]
    assert manifest.verify(fetched) == manifest.read(new)


@pytest.mark.parametrize("there", [{}, {"manifest.json": b'{"files": ["a"]}'}])
def test_a_push_keeps_objects_of_other_programs(
    environment: Server, world: StageContext, tmp_path: Path, there: dict[str, bytes]
) -> None:
    prefix = f"foreign-{len(there)}"
    for name, content in {"a": b"not ours", **there}.items():
        environment.put("shop", f"{prefix}/{name}", content)
    world.store.push(artifact(tmp_path / "new", "rows-0"), f"s3://shop/{prefix}")
    assert environment.keys("shop", f"{prefix}/") == {"a", "manifest.json", "rows-0"}


@pytest.mark.parametrize("uri", ["s3://shop", "s3://shop/"])
def test_a_push_to_a_whole_bucket_is_refused(
    environment: Server, world: StageContext, tmp_path: Path, uri: str
) -> None:
    new, before = artifact(tmp_path / "new", "rows-0"), environment.keys("shop", "")
    with pytest.raises(ConfigError, match=f"{uri}: a whole bucket; expected s3://bucket/prefix"):
        world.store.require(uri)
    with pytest.raises(ConfigError, match=f"{uri}: a whole bucket; expected s3://bucket/prefix"):
        world.store.push(new, uri)
    assert environment.keys("shop", "") == before


def test_a_removal_deletes_only_objects_below_the_uri(environment: Server, world: StageContext) -> None:
    for key in ("gone/manifest.json", "gone/deep/last.ckpt", "gone-not/last.ckpt"):
        environment.put("shop", key, b"{}")
    world.store.remove("s3://shop/gone")
    world.store.remove("s3://shop/never-was")
    assert environment.keys("shop", "gone") == {"-not/last.ckpt"}
    with pytest.raises(ConfigError, match="a whole bucket"):
        world.store.remove("s3://shop")


def test_an_object_changed_after_its_snapshot_is_refused(environment: Server, world: StageContext) -> None:
    environment.put("shop", "changing/orders.csv", ORDERS)
    loaded = shop("s3://shop/changing")
    locked(loaded, world)
    environment.put("shop", "changing/orders.csv", ORDERS.replace(b"9.99", b"1.11"))
    with pytest.raises(DataError, match=r"s3://shop/changing: orders.csv changed since sources.lock was written"):
        runner.run_from_params("ingest", {}, loaded, world)
    assert not Path("data/raw/events").exists()
    assert sources_lock.save(sources_lock.scan(loaded, world), sources_lock.LOCK)
    runner.run_from_params("ingest", {}, loaded, world)


class ChangingStore(StoreRouter):
    """A store in which an object changes as soon as it was fetched."""

    def __init__(self, server: Server) -> None:
        super().__init__(S3Store(server.endpoint, progress=False), {})
        self.server = server

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        place = super().fetch(uri, folder, paths)
        self.server.put("shop", "meddled/orders.csv", ORDERS.replace(b"9.99", b"1.11"))
        return place


def test_an_object_that_changes_while_a_stage_reads_it_is_refused(environment: Server, world: StageContext) -> None:
    environment.put("shop", "meddled/orders.csv", ORDERS)
    loaded = shop("s3://shop/meddled")
    locked(loaded, world)
    with pytest.raises(DataError, match=r"s3://shop/meddled: orders.csv changed since sources.lock was written"):
        runner.run_from_params("ingest", {}, loaded, replace(world, store=ChangingStore(environment)))
    assert not Path("data/raw/events").exists()


@pytest.mark.parametrize(
    ("uri", "variables", "kind", "message"),
    [
        ("s3://a shop/orders", {}, ConfigError, "s3://a shop/orders: a shop cannot be a bucket's name"),
        ("s3://no-such-bucket/orders", {}, DataError, "s3://no-such-bucket/orders: no bucket no-such-bucket at http"),
        ("s3://shop/nothing-here", {}, DataError, "s3://shop/nothing-here: no object of this name and none below it"),
        ("s3://shop/orders", {"AWS_SECRET_ACCESS_KEY": "wrong"}, ConfigError, "refused the credentials (SignatureDoes"),
        ("s3://shop/orders", {"AWS_ACCESS_KEY_ID": "nobody"}, ConfigError, "refused the credentials (InvalidAccessKe"),
        ("s3://shop/orders", {"AWS_SECRET_ACCESS_KEY": ""}, ConfigError, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS"),
        (
            "s3://shop/orders",
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            ExternalServiceError,
            "no answer from http://127",
        ),
        ("s3://shop/orders", {"AWS_PROFILE": "nope"}, ConfigError, "(nope) could not be found; check AWS_PROFILE"),
        ("s3://shop/orders", {"AWS_ENDPOINT_URL_S3": "nonsense"}, ConfigError, "check AWS_ENDPOINT_URL_S3"),
    ],
)
def test_a_refusal_is_one_line_in_seconds(
    environment: Server,
    context: StageContext,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    variables: dict[str, str],
    kind: type[AdloomError],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    world = replace(context, store=open_store(Settings(quiet=True)))
    loaded, started = shop(uri), time.monotonic()
    with pytest.raises(kind) as caught:
        sources_lock.scan(loaded, world)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < ANSWER_WITHIN


class Page(BaseHTTPRequestHandler):
    """A web server, where S3 was expected."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_of_another_kind_is_reported(
    environment: Server, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        thread = threading.Thread(target=page.handle_request)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{page.server_port}")
        with pytest.raises(ConfigError, match=r"does not answer as S3 does \(404\); check AWS_ENDPOINT_URL_S3"):
            sources_lock.scan(shop("s3://shop/orders"), replace(context, store=open_store(Settings(quiet=True))))
        thread.join()


def test_an_address_that_drops_all_packets_fails_in_seconds(
    environment: Server, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        message = rf"no answer from http://127.0.0.1:{port}: .* may close port {port}\); check AWS_ENDPOINT_URL_S3$"
        with pytest.raises(ExternalServiceError, match=message):
            sources_lock.scan(shop("s3://shop/orders"), replace(context, store=open_store(Settings(quiet=True))))
        assert time.monotonic() - started < ANSWER_WITHIN


class StaleStore(S3Store):
    """A store that lists once, as if an object changed between two requests."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, progress=False)
        self.seen: dict[str, SourceFile] = {}

    def _find(self, uri: str) -> dict[str, SourceFile]:
        self.seen = self.seen or super()._find(uri)
        return self.seen


def test_an_object_that_changes_while_it_is_read_is_refused(environment: Server, tmp_path: Path) -> None:
    environment.put("shop", "race/orders.csv", ORDERS)
    store = StaleStore(environment.endpoint)
    store.list("s3://shop/race")
    environment.put("shop", "race/orders.csv", b"changed")
    with pytest.raises(DataError, match="an object changed or was deleted during the read; .*`adloom snapshot`"):
        store.fetch("s3://shop/race", tmp_path / "x")
