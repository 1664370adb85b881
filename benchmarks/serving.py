"""Measure the creatives service: throughput, neighbours of decisions, start, memory, overload and poisoned batches.

    python benchmarks/serving.py models     # the folder that `adloom run` writes; about four minutes; needs wrk

Each endpoint is asked by 32 clients over HTTP, and compared with a bare loop that runs the same networks by onnxruntime
with ADLOOM_SERVE_THREADS threads at the batch size that the service had. The loop of the copywriter repeats the calls
of the network that writing the same lines takes. Load generator and service share the machine, so compare the ratios of
processor time where the machine has few cores or other work.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import bentoml
import httpx
import numpy as np
from load_generator import Load, processor_seconds, run_wrk  # type: ignore[import-not-found] # of this folder

from adloom.ads.placements import IAB
from adloom.config.models import MODELS
from adloom.config.settings import Settings
from adloom.copywriting.lines import write_together
from adloom.creatives import pictures as creative_pictures
from adloom.data import pictures
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.schemas import GENERATE, READ, WRITE, CopyRequest
from adloom.serving.creatives import generate
from adloom.serving.creatives.issuer import describe_origin, open_issuer
from adloom.serving.models import loader, sources
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.loader import Models
from adloom.stages.creative_rows import open_creatives
from adloom.storage import manifest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
from onnxruntime import quantization

CLIENTS, SECONDS, ROUNDS = 32, 3, 3
PICTURES, LINES = 4, 2  # of a request
NEAREST, SIGNED = f"{READ} (3 nearest)", f"{GENERATE} (both sign)"
TEST_PICTURES = 4096
SEEDS = 8192  # different requests
DECISIONS, PACE = 400, 0.005  # requests, and seconds between two
WIDTH = 64  # numbers that BentoML's own batching reads
ADLOOM = [sys.executable, "-m", "adloom", "serve", "--port", "0"]


@dataclass(frozen=True)
class Rate:
    """Items per second, processor milliseconds per item, and requests per batch."""

    items: float
    milliseconds: float
    batch: float = 0.0


@dataclass(frozen=True)
class Server:
    """A running service."""

    url: str
    pid: int
    seconds: float  # from its start until it was ready

    def megabytes(self, name: str) -> float:
        """Return a number of /proc/PID/status."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1e3

    def metric(self, name: str, path: str) -> float:
        """Return a metric of a path."""
        found = re.findall(rf'^{name}{{path="{path}"}} (\S+)', httpx.get(f"{self.url}/metrics").text, re.MULTILINE)
        return float(found[0]) if found else 0.0


@contextlib.contextmanager
def start_server(*arguments: str, **variables: str) -> Iterator[Server]:
    """Yield a service."""
    environment = os.environ | {"ADLOOM_AUTH": "off"} | variables
    start = time.monotonic()
    with subprocess.Popen([*ADLOOM, *arguments], env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            url = process.stdout.readline().split(";")[0].split()[-1]
            yield Server(url, process.pid, time.monotonic() - start)
        finally:
            process.terminate()


def bodies(models: Models) -> dict[str, list[dict[str, Any]]]:
    """Return the requests to each endpoint."""
    category, line_category = models.gan.card.categories[0], models.lstm.card.categories[0]
    return {
        READ: [{"pictures": [picture], "nearest": 0} for picture in draw_pictures(models)],
        GENERATE: [{"category": category, "n": PICTURES, "seed": seed} for seed in range(SEEDS)],
        WRITE: [{"category": line_category, "n": LINES, "seed": seed} for seed in range(SEEDS)],
    }


def draw_pictures(models: Models) -> list[str]:
    """Return pictures of the size that the reader takes, as PNGs in base64."""
    channels, height, width = models.cnn.card.shape
    pixels = np.random.default_rng(0).integers(0, 256, (64, height, width, channels), np.uint8)
    return [base64.b64encode(pictures.encode_png(picture)).decode() for picture in pixels]


def post(url: str, requests: Sequence[object], folder: Path, clients: int, seconds: float) -> Load:
    """Send requests for some seconds."""
    bodies = Path(tempfile.mkstemp(dir=folder)[1])
    bodies.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return run_wrk(url, bodies, clients, seconds)


def measure_http(server: Server, path: str, requests: Sequence[object], items: int, folder: Path) -> Rate:
    """Measure an endpoint with 32 clients; a request has this many items."""
    before = {name: server.metric(f"adloom_batch_size_{name}", path) for name in ("sum", "count")}
    processor = processor_seconds(server.pid)
    load = post(server.url + path, requests, folder, CLIENTS, SECONDS)
    assert not load.refused
    requests_, batches = (server.metric(f"adloom_batch_size_{name}", path) - before[name] for name in before)
    used = processor_seconds(server.pid) - processor
    return Rate(load.answered * items, 1e3 * used / (requests_ * items), requests_ / batches)


def measure_loop(run: Callable[[], int]) -> Rate:
    """Measure a loop; `run` returns the items of one turn."""
    run()
    items, start, processor = 0, time.monotonic(), time.process_time()
    while time.monotonic() - start < SECONDS:
        items += run()
    return Rate(items / (time.monotonic() - start), 1e3 * (time.process_time() - processor) / items)


def create_loops(models: Models, batch: dict[str, float]) -> dict[str, Callable[[], int]]:
    """Return a bare loop for each endpoint at the batch size of the service, in requests."""
    pictures_read, drawn = max(round(batch[READ]), 1), max(round(batch[GENERATE]), 1) * PICTURES
    gan, columns = models.gan.model, models.gan.card.conditions.columns
    z, condition = np.zeros((drawn, gan.latent), np.float32), np.zeros((drawn, columns), np.float32)
    picture = np.zeros((pictures_read, *models.cnn.card.shape), np.float32)
    calls, lines = record_calls(models, max(round(batch[WRITE]), 1))
    issuer, origin = open_issuer(Settings()), describe_origin(models.gan, 0, {})

    def read() -> int:
        models.cnn.model.read(picture)
        return pictures_read

    def draw() -> int:
        gan(z, condition)
        return drawn

    def sign() -> int:
        pixels = creative_pictures.to_pixels(gan(z, condition))
        issuer.issue_pictures(creative_pictures.encode_pngs(pixels), [origin] * drawn)
        return drawn

    def write() -> int:
        for network, token, state in calls:
            network(token, state)
        return lines

    return {READ: read, GENERATE: draw, SIGNED: sign, WRITE: write}


def record_calls(models: Models, requests: int) -> tuple[list[tuple[Any, Any, Any]], int]:
    """Return the calls of the network that a batch of requests takes, and the number of lines that it gives."""
    writer, calls = models.lstm.model, list[tuple[Any, Any, Any]]()
    mixture: Any = writer.write
    network = getattr(mixture, "network", mixture)

    class Recorder:
        start = network.start

        def __call__(self, token: Any, state: Any) -> Any:
            calls.append((network, token, state))
            return network(token, state)

    recorded: Any = Recorder()
    if mixture is not network:
        mixture.network, recorded = recorded, mixture
    category = models.lstm.card.categories[0]
    asked = [CopyRequest(category=category, n=LINES, seed=seed) for seed in range(requests)]
    jobs = [generate.prepare_copy(request, models) for request in asked]
    lines = write_together(recorded, writer.tokenizer, [job.line_request for job in jobs])
    if mixture is not network:
        mixture.network = network
    return calls, max(sum(map(len, lines)), 1)


def compare_throughput(folder: Path, scratch: Path, models: Models) -> None:
    """Print the rates of the service and of the bare loops."""
    requests, items = bodies(models), {READ: 1, GENERATE: PICTURES, WRITE: LINES}
    nearest = [{**body, "nearest": 3} for body in requests[READ]]
    rows = [(path, path, sent) for path, sent in requests.items()]
    rows += [(NEAREST, READ, nearest), (SIGNED, GENERATE, requests[GENERATE])]
    columns = "batch     items/s: HTTP   loop  ratio   processor ms: HTTP   loop  ratio"
    print(f"{CLIENTS} clients{'':26}{columns}")
    with start_server("--app", "creatives", "--models", str(folder)) as server:
        for name, path, sent in rows:
            rounds = []
            measure_http(server, path, sent, items[path], scratch)
            for _ in range(ROUNDS):
                served = measure_http(server, path, sent, items[path], scratch)
                loop = create_loops(models, dict.fromkeys(requests, served.batch))[SIGNED if name == SIGNED else path]
                rounds.append((served, measure_loop(loop)))
            served, bare = (
                Rate(*map(median, zip(*map(astuple, column), strict=True))) for column in zip(*rounds, strict=True)
            )
            ratios = served.items / bare.items, bare.milliseconds / served.milliseconds
            wall = f"{served.items:12.0f} {bare.items:6.0f} {ratios[0]:6.2f}"
            processor = f"{served.milliseconds:20.2f} {bare.milliseconds:6.2f} {ratios[1]:6.2f}"
            print(f"{name:34} {served.batch:5.1f} {wall} {processor}", flush=True)
        memory, peak = server.megabytes("VmRSS"), server.megabytes("VmHWM")
        print(f"memory of the creative models: {memory:.0f} MB, peak {peak:.0f} MB")
        print(f"start to ready from a folder: {server.seconds:.1f} s")


def astuple(rate: Rate) -> tuple[float, float, float]:
    """Return the numbers of a rate."""
    return rate.items, rate.milliseconds, rate.batch


def time_decisions(url: str) -> float:
    """Return the 99th percentile of the milliseconds of decisions, one after another."""
    body = {"placement": "top", "candidates": [f"creative-{number}" for number in range(10)], "n": 1}
    milliseconds = []
    with httpx.Client() as client:
        for _ in range(DECISIONS):
            start = time.perf_counter()
            assert client.post(url + DECIDE, json=body).status_code == 200
            milliseconds.append(1e3 * (time.perf_counter() - start))
            time.sleep(PACE)
    return float(np.percentile(milliseconds, 99))


def compare_decisions(folder: Path, scratch: Path, models: Models) -> None:
    """Print the latency of decisions alone and while heavy requests run, in one process and in two."""
    large = [base64.b64encode(pictures.encode_png(np.zeros((2000, 2000, 3), np.uint8))).decode()] * 16
    category = models.gan.card.categories[0]
    heavy: dict[str, dict[str, dict[str, object]]] = {
        "models": {GENERATE: {"category": category, "n": 64}, WRITE: {"n": 64}, READ: {"pictures": large}},
        "ads": {MAKE_ADS: {"category": category, "n": 1, "sizes": [placement.name for placement in IAB]}},
    }
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(start_server("--models", str(folder)))
        decide = stack.enter_context(start_server("--app", "decide", "--models", str(folder)))
        print(f"memory of all models in one process: {one.megabytes('VmRSS'):.0f} MB")
        for (name, decider), (work, loads) in product(
            (("one process", one), ("a process of its own", decide)), heavy.items()
        ):
            rounds = []
            time_decisions(decider.url)
            for _ in range(ROUNDS):
                alone = time_decisions(decider.url)
                with ThreadPoolExecutor(len(loads)) as pool:
                    futures = [pool.submit(post, one.url + path, [body], scratch, 2, 6) for path, body in loads.items()]
                    time.sleep(1)
                    beside = time_decisions(decider.url)
                    rounds.append((alone, beside, *(future.result().answered for future in futures)))
                time.sleep(2)  # until the batches in progress have ended
            alone, beside, *rates = map(median, zip(*rounds, strict=True))
            pace = " ".join(f"{rate:.1f}" for rate in rates)
            print(f"decide p99, {name}: {alone:.1f} ms, {beside:.1f} ms beside {pace} requests per second to {work}")


def measure_start(folder: Path, scratch: Path, models: Models) -> None:
    """Print the time until a service is ready by cached bundles while MLflow is away."""
    cache = BundleCache(scratch / "bundles")
    for artifact in map(folder.joinpath, MODELS):
        if (artifact / manifest.MANIFEST).is_file():
            digest = manifest.digest(artifact)
            cache.folder.mkdir(exist_ok=True)
            (cache.folder / digest).symlink_to(artifact.absolute())
            cache.save_champion(artifact.name, Champion(1, digest))
    variables = {"ADLOOM_BUNDLE_CACHE": str(cache.folder), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    seconds = []
    for _ in range(ROUNDS):
        with start_server("--follow", "champion", **variables) as server:
            sources_ = httpx.get(f"{server.url}/readyz").json()["sources"]
            seconds.append(server.seconds)
    print(f"start to ready by cached bundles without MLflow: {median(seconds):.1f} s; {sources_}")


def measure_overload(folder: Path, scratch: Path, models: Models) -> None:
    """Print what is answered at capacity and at 3 and 12 times as many clients."""
    requests = bodies(models)[READ]
    with start_server("--app", "creatives", "--models", str(folder)) as server:
        for clients in (CLIENTS, CLIENTS, 3 * CLIENTS, 12 * CLIENTS):
            load = post(server.url + READ, requests, scratch, clients, SECONDS)
            print(f"read, {clients} clients: {load.answered:.0f} answered per second, {load.refused:.0f} refused")


@bentoml.service(name="stock", logging={"access": {"enabled": False}})
class Stock:
    """BentoML's own adaptive batching of a function that adds rows of numbers."""

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def add(self, rows: list[list[float]]) -> list[float]:
        """Return the sum of each row; all have the same width."""
        return [float(total) for total in np.stack([np.array(row) for row in rows]).sum(axis=1)]


def lose_requests() -> None:
    """Print how many of 60 good requests fail beside 5 bad ones in BentoML's own batches."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", "serving:Stock", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            lost = [count_lost(url) for _ in range(5)]
        finally:
            process.send_signal(signal.SIGINT)
    print(f"of 60 good requests beside 5 bad ones, BentoML's own batching loses {lost}")


def count_lost(url: str) -> int:
    """Send 60 good and 5 bad requests at once; return how many good ones fail."""
    rows = [[[1.0] * (WIDTH if number % 13 else WIDTH - 1)] for number in range(65)]
    ready = threading.Barrier(len(rows))

    def ask(row: list[list[float]]) -> int:
        ready.wait()
        return httpx.post(f"{url}/add", json={"rows": row}, timeout=60).status_code

    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/readyz")
            break
        time.sleep(0.2)
    with ThreadPoolExecutor(len(rows)) as pool:
        statuses = list(pool.map(ask, rows))
    return sum(status != 200 for row, status in zip(rows, statuses, strict=True) if len(row[0]) == WIDTH)


def compare_int8(folder: Path, scratch: Path, models: Models) -> None:
    """Print the speed and the test accuracy of the reader in 8 bits, calibrated by training pictures."""
    table, categories = open_creatives(folder.parent / "data" / "dataset" / "creatives"), models.cnn.card.categories
    train, test = table.find_rows("train", categories)[:256], table.find_test_rows(categories)[:TEST_PICTURES]
    calibration, pixels = (creative_pictures.to_floats(table.decode(rows)) for rows in (train, test))
    truth = table.number_categories(test, categories)

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter([{"picture": batch} for batch in np.split(calibration, 4)])

        def get_next(self) -> Any:
            return next(self._batches, None)

    source, target = folder / "cnn" / "reader.onnx", scratch / "int8" / "reader.onnx"
    target.parent.mkdir()
    quantization.quantize_static(str(source), str(target), Calibration())
    small = type(models.cnn.model.read)(target.parent, Settings().serve_threads)
    for name, reader in {"float": models.cnn.model.read, "8 bits": small}.items():
        milliseconds = median(
            measure_loop(partial(count_read, reader, pixels[:16])).milliseconds for _ in range(ROUNDS)
        )
        predicted = np.concatenate(
            [reader(batch).probabilities.argmax(1) for batch in np.split(pixels, range(256, len(pixels), 256))]
        )
        accuracy = (predicted == truth).mean()
        print(f"reader, {name}: {milliseconds:.2f} ms a picture, {accuracy:.2%} of {len(truth)} test pictures right")


def count_read(reader: Any, batch: Any) -> int:
    """Read a batch; return its size."""
    return len(reader(batch).embedding)


def measure_signing(folder: Path, scratch: Path, models: Models) -> None:
    """Print the processor time that signing takes."""
    issuer, gan = open_issuer(Settings()), models.gan
    origin = describe_origin(gan, 0, {})
    png = pictures.encode_png(np.zeros((gan.card.shape[1], gan.card.shape[2], 3), np.uint8))

    def sign_pictures() -> int:
        return len(issuer.issue_pictures([png] * PICTURES, [origin] * PICTURES))

    def sign_lines() -> int:
        return len(issuer.issue_lines(["a line of copy"] * LINES, origin))

    milliseconds = [measure_loop(sign).milliseconds for sign in (sign_pictures, sign_lines)]
    print("of these, signing takes {:.2f} ms a picture and {:.2f} ms a line".format(*milliseconds), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    folder = parser.parse_args().models
    models = loader.load(sources.find_in_folder(folder), Settings().serve_threads)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["ADLOOM_HOME"] = str(scratch / "home")
        for measure in (
            compare_throughput,
            measure_signing,
            compare_decisions,
            measure_start,
            measure_overload,
            compare_int8,
        ):
            measure(folder, scratch, models)
    lose_requests()


if __name__ == "__main__":
    main()
