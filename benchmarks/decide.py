"""Measure the decide app against peers in the same run: throughput, CPU time, lateness, memory and loss.

    python benchmarks/decide.py             # about ten minutes; needs wrk (apt-get install wrk)
    python benchmarks/decide.py --soak 1800

100,000 creatives, 1,000,000 users, one worker each. Rounds of all servers take turns, because machines are noisy, and
medians are printed. The peers:

single   the same application (limits, tokens, admission, decision log, metrics) without micro-batches
asgi     the same application without micro-batches and without the fast path: plain ASGI on uvicorn
granian  the same as asgi on granian, with granian's own limits; skipped unless `pip install granian`
bare     a handler on uvicorn that only parses the same request and serialises the same answer
bento    BentoML's @api with the same decider, without tokens and log

With an experiment, the same application splits its users between two policies and uniform decisions.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import msgspec
import numpy as np
import orjson
import uvicorn
import uvloop
from load_generator import processor_seconds, run_wrk  # type: ignore[import-not-found] # of this folder
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.config.sources import Source
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.experiments.definition import Experiment, parse_arms
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.serving import http_server, server
from adloom.serving.api import auth
from adloom.serving.api.decide_schemas import DECIDE, DecideRequest
from adloom.serving.decide import micro_batcher
from adloom.serving.decide.endpoint import LifespanMiddleware
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import LoadedExperiment
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest

CREATIVES, USERS, CATEGORIES = 100_000, 1_000_000, 20
PLACEMENTS, HOURS = 4, 24
ROUNDS, SECONDS = 5, 2  # of wrk, for each server
PACED, CONNECTIONS = 12, 32  # seconds of a round at half rate; connections
OVERLOAD = 192, 400  # connections: 3 and 6 times the number that saturates the server
PEERS = ["single", "asgi", *(["granian"] if find_spec("granian") else []), "bare", "bento"]
UVICORN: dict[str, Any] = {"loop": "uvloop", "log_level": "error", "access_log": False, "server_header": False}


class Body(BaseModel):
    """A request in BentoML's format."""

    placement: str
    user_id: str
    context: dict[str, str]
    candidates: list[str]
    n: int
    tmax_ms: int


@dataclass(frozen=True)
class Bench:
    """A folder with models and requests, a token, and the URL that receives spans."""

    folder: Path
    token: str
    collector: str

    def bodies(self, candidates: int) -> Path:
        """Return a file with one request per line."""
        path = self.folder / f"bodies-{candidates}.jsonl"
        if not path.is_file():
            rng = random.Random(candidates)
            path.write_text("".join(f"{json.dumps(request(rng, candidates))}\n" for _ in range(2000)), encoding="utf-8")
        return path


def request(rng: random.Random, candidates: int) -> dict[str, object]:
    """Return a request."""
    ids = [f"creative-{number:06}" for number in rng.sample(range(CREATIVES), candidates)]
    who = {"placement": f"p{rng.randrange(PLACEMENTS)}", "user_id": str(rng.randrange(USERS))}
    return who | {"context": {"hour": str(rng.randrange(HOURS))}, "candidates": ids, "n": 3, "tmax_ms": 100}


def write_models(root: Path) -> None:
    """Write an audience of all users and a policy of all creatives."""
    names = tuple(f"segment-{number}" for number in range(1, 7))
    source = Source(uri="benchmark")
    with manifest.draft(root / "audience", "segment", source, {}) as draft:
        scale = FeatureScale(np.zeros(5), np.zeros(5), np.ones(5))
        Segmenter(scale, np.zeros((6, 5)), np.arange(6), names).save(draft.path / "segmenter.npz")
        users = [pseudonymise(str(number), PUBLISHED_KEY) for number in range(USERS)]
        SegmentIndex.build(users, np.arange(USERS) % 6, names).save(draft.path / "members.npz")
        draft.write_json("card.json", {"categories": []})
        draft.facts["key"] = key_fingerprint(PUBLISHED_KEY)
    with manifest.draft(root / "policy", "train_policy", source, {}) as draft:
        policy(names).save(draft.path / "policy.npz")
        card = {"categories": [f"c{n}" for n in range(CATEGORIES)], "audience": manifest.digest(root / "audience")}
        draft.write_json("card.json", card)


def policy(segments: tuple[str, ...]) -> Policy:
    """Return a policy with weights for placement, segment, both together, and hour."""
    rng = np.random.default_rng(0)
    placements = tuple(f"p{number}" for number in range(PLACEMENTS))
    both = tuple(f"{placement}\x1f{segment}" for placement in placements for segment in segments)
    values = (placements, segments, both, tuple(map(str, range(HOURS))))
    weights = tuple((rng.normal(size=(len(v) + 1, CREATIVES)) / 4).astype(np.float32) for v in values)
    return Policy(
        creatives=tuple(f"creative-{number:06}" for number in range(CREATIVES)),
        category=rng.integers(0, CATEGORIES, CREATIVES),
        categories=tuple(f"c{number}" for number in range(CATEGORIES)),
        bias=rng.normal(size=CREATIVES).astype(np.float32),
        features=(("placement",), ("segment",), ("placement", "segment"), ("ctx_hour",)),
        values=values,
        weights=weights,
        prior=np.zeros(CATEGORIES + 1, np.float32),
        temperature=1.0,
        floor=0.001,
    )


def create_bare() -> Any:
    """Return an ASGI application that only parses a request and serialises an answer of the same shape."""
    model = {"name": "policy", "version": 1, "digest": "d" * 64}
    rest = {"decision_id": "0" * 32, "tier": "model", "segment": "segment-1", "policy": model, "audience": model}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind.endswith("shutdown"):
                    return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        question = orjson.loads(body)
        chosen = question["candidates"][: question["n"]]
        shown = [{"creative_id": c, "probability": 0.0123456789012345} for c in chosen]
        answer = orjson.dumps({**rest, "creatives": shown, "elapsed_ms": 0.123})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def create_bento(models: Path) -> Any:
    """Return BentoML's service, whose @api uses the same decider."""
    os.environ |= {"BENTOML_DO_NOT_TRACK": "1", "OTEL_SDK_DISABLED": "true"}
    import bentoml  # noqa: PLC0415 - it reads these when it is imported

    served = loader.load(sources.find_in_folder(models, ["audience", "policy"]), 1)
    decider = Decider(served, PseudonymKeys(None), MemoryLog(room=0), "benchmark")

    class Decide:
        @bentoml.api(route=DECIDE)  # type: ignore[untyped-decorator]
        def decide(self, body: Body, /) -> dict[str, Any]:
            question = msgspec.convert(body.model_dump(), DecideRequest)
            [answer] = decider.decide([(question, time.perf_counter())])
            return msgspec.to_builtins(answer)  # type: ignore[no-any-return]

    hosted = bentoml.service(name="decide", workers=1, threads=1)(Decide)
    return hosted.to_asgi()


class PlainAsgi:
    """Hide the decision endpoint from the HTTP protocol, which disables the fast path."""

    def __init__(self, app: LifespanMiddleware) -> None:
        self._app, self.admission = app, app.admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def create_single(models: Path) -> LifespanMiddleware:
    """Return the decide app without micro-batches."""
    micro_batcher.MAX_BATCH = 1  # no batches: answer each request at once
    return create_app(models)


def create_split(models: Path) -> LifespanMiddleware:
    """Return the decide app with an experiment of two policies and uniform decisions."""
    load = loader.load
    found = sources.find_in_folder(models, ["audience", "policy"])
    policies = {version: load(found, 1).loaded["policy"] for version in (1, 2)}
    arms = parse_arms("champion=80,challenger=15,control=5", {"champion": 1, "challenger": 2}.__getitem__)
    experiment = LoadedExperiment(Experiment(name="benchmark", key="ab" * 16, started=0, arms=arms), policies)
    loader.load = lambda *arguments: replace(load(*arguments), experiment=experiment)
    return create_app(models)


def create_app(models: Path) -> LifespanMiddleware:
    """Return the decide app of a folder of models."""
    return cast("LifespanMiddleware", server.create_app(server.ServeOptions("decide", Path("params.yaml"), models)))


@contextlib.contextmanager
def start_server(bench: Bench, kind: str) -> Iterator["Server"]:
    """Start a server of this kind."""
    if kind in ("ours", "traced"):
        words = ["-m", "adloom", "serve", "--app", "decide", "--port", "0"]
        command = [sys.executable, *words, "--models", str(bench.folder / "models")]
    else:
        command = [sys.executable, __file__, "--serve", kind, str(bench.folder / "models")]
    environment = {
        **os.environ,
        "ADLOOM_TOKENS_FILE": f"{bench.folder}/tokens",
        "ADLOOM_HOME": f"{bench.folder}/{'home' if kind == 'ours' else kind}",
        "ADLOOM_LOG_DISK_MB": "100000",  # a soak of 30 minutes writes about 10 GB
    }
    if kind == "traced":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = bench.collector
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith("ready on "))
        try:
            yield Server(re.split(r"[ ;\n]", ready)[2], process.pid)
        finally:
            process.terminate()


def serve(kind: str, models: Path) -> None:
    """Serve a peer on a free port, in this process."""
    if kind == "granian":
        serve_by_granian(PlainAsgi(create_single(models)))
        return
    create: dict[str, Callable[[], uvicorn.Config]] = {
        "single": lambda: http_server.ServerConfig(create_single(models), **http_server.UVICORN_OPTIONS),
        "asgi": lambda: http_server.ServerConfig(PlainAsgi(create_single(models)), **http_server.UVICORN_OPTIONS),
        "split": lambda: http_server.ServerConfig(create_split(models), **http_server.UVICORN_OPTIONS),
        "bare": lambda: uvicorn.Config(create_bare(), http="httptools", **UVICORN),
        "bento": lambda: uvicorn.Config(create_bento(models), http="httptools", **UVICORN),
    }
    config = create[kind]()
    with http_server.bind_socket("127.0.0.1", 0) as bound:
        print(http_server.format_ready(bound, ""), flush=True)
        uvicorn.Server(config).run(sockets=[bound])


def serve_by_granian(app: PlainAsgi) -> None:
    """Serve an application with granian on a free port."""
    from granian.server.embed import Server as GranianServer  # type: ignore[import-not-found, unused-ignore] # noqa: PLC0415

    with http_server.bind_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
    granian = GranianServer(app, port=port, interface=cast("Any", "asgi"), log_access=False)
    granian.on_startup(lambda: print(f"ready on http://127.0.0.1:{port};", flush=True))
    uvloop.run(granian.serve())


class Collector(BaseHTTPRequestHandler):
    """Receives spans."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@contextlib.contextmanager
def collect_spans() -> Iterator[str]:
    """Receive spans, and yield the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Return the CPU seconds that the process has used."""
        seconds: float = processor_seconds(self.pid)
        return seconds

    def resident(self) -> float:
        """Return the memory of the process, MB."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Load:
    """The result of one wrk round."""

    answered: float  # with 2xx, per second
    refused: float  # per second
    cpu: float  # µs of the server per request


def wrk(bench: Bench, server: Server, candidates: int, connections: int) -> Load:
    """Send requests over this many connections; each sends the next after an answer."""
    before = server.cpu()
    load = run_wrk(f"{server.url}/v1/decide", bench.bodies(candidates), connections, SECONDS, bench.token)
    return Load(load.answered, load.refused, (server.cpu() - before) / max(load.requests, 1) * 1e6)


class PacedClient(asyncio.Protocol):
    """Sends requests on schedule. Latency counts from the schedule, so it includes waiting for a late answer."""

    def __init__(self, bodies: list[bytes], due: Iterator[tuple[int, float]], latencies: list[float]) -> None:
        self._bodies, self._due, self._latencies = bodies, due, latencies
        self._read = b""
        self._loop = asyncio.get_running_loop()
        self.done = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not derive from it
        self._next()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self._read.decode())
        self._latencies[self._number] = self._loop.time() - self._at
        self._read = b""
        self._next()

    def _next(self) -> None:
        self._number, self._at = next(self._due, (-1, 0.0))
        if self._number < 0:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._loop.call_at(self._at, self._send)

    def _send(self) -> None:
        self._transport.write(self._bodies[self._number % len(self._bodies)])


async def send_paced(bench: Bench, url: str, candidates: int, rate: float, seconds: float) -> list[float]:
    """Send requests at a steady rate; return latencies in seconds, counted from the schedule."""
    loop = asyncio.get_running_loop()
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {DECIDE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {bench.token}"
    lines = bench.bodies(candidates).read_bytes().splitlines()
    bodies = [b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head.encode(), len(line), line) for line in lines]
    start, count = loop.time() + 0.2, int(rate * seconds)
    latencies = [0.0] * count

    def due(first: int) -> Iterator[tuple[int, float]]:
        return ((number, start + number / rate) for number in range(first, count, CONNECTIONS))

    connections = [
        await loop.create_connection(partial(PacedClient, bodies, due(first), latencies), host, int(port))
        for first in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for _, client in connections))
    return latencies


def measure_scoring() -> float:
    """Return the median µs of scoring 50 candidates, probabilities included."""
    scorer, rng = policy(tuple(f"segment-{number}" for number in range(1, 7))).scorer, random.Random(1)
    questions = [request(rng, 50) for _ in range(500)]
    times = []
    for question in questions * 4:
        context = {"placement": str(question["placement"]), "segment": "segment-2", "ctx_hour": "12"}
        start = time.perf_counter()
        scorer.probabilities([ScoringRequest(context, question["candidates"])])  # type: ignore[arg-type]
        times.append((time.perf_counter() - start) * 1e6)
    return median(times)


def print_row(what: str, ours: str, peer: str = "", ratio: str = "", target: str = "") -> None:
    print(f"{what:66} {ours:>10} {peer:>10} {ratio:>7}  {target}", flush=True)


def run_alternating(
    bench: Bench, servers: dict[str, Server], candidates: int, connections: int
) -> dict[str, list[Load]]:
    """Load servers in turns, in alternating order."""
    loads: dict[str, list[Load]] = {kind: [] for kind in servers}
    for number in range(ROUNDS):
        for kind in list(servers)[:: -1 if number % 2 else 1]:
            loads[kind].append(wrk(bench, servers[kind], candidates, connections))
    return loads


def measure_throughput(bench: Bench, servers: dict[str, Server]) -> float:
    """Print throughput and CPU time of ours and all peers; return our maximum with 50 candidates."""
    targets = {"single": "≥ 1.5", "asgi": "≥ 1.5", "granian": "≥ 1.5", "bento": "≥ 5"}
    maximum = 0.0
    for candidates, bare_target in ((10, "≥ 0.50"), (50, "≥ 0.40")):
        maximum = 0.0
        for connections in (8, 64):
            loads = run_alternating(bench, servers, candidates, connections)
            answered = {kind: median(load.answered for load in rounds) for kind, rounds in loads.items()}
            cpu = {kind: median(load.cpu for load in rounds) for kind, rounds in loads.items()}
            for kind in list(servers)[1:]:
                ratio = median(
                    ours.answered / max(peer.answered, 1) for ours, peer in zip(loads["ours"], loads[kind], strict=True)
                )
                what = f"{candidates} candidates, {connections} connections: decisions/s against {kind}"
                target = targets.get(kind, bare_target)
                print_row(what, f"{answered['ours']:.0f}", f"{answered[kind]:.0f}", f"{ratio:.2f}", target)
                what = f"{candidates} candidates, {connections} connections: CPU µs of a decision against {kind}"
                print_row(what, f"{cpu['ours']:.0f}", f"{cpu[kind]:.0f}", f"{cpu[kind] / cpu['ours']:.2f}")
            maximum = max(maximum, answered["ours"])
    return maximum


def measure_overload(bench: Bench, server: Server, maximum: float) -> None:
    """Print decisions a second when clients request more than the maximum."""
    for connections in OVERLOAD:
        rounds = [wrk(bench, server, 50, connections) for _ in range(ROUNDS)]
        answered, refused = median(load.answered for load in rounds), median(load.refused for load in rounds)
        what = f"decisions/s, {connections} connections request {(answered + refused) / maximum:.1f} times the maximum"
        print_row(what, f"{answered:.0f}", f"{maximum:.0f}", f"{answered / maximum:.2f}", "flat")


def measure_tracing(bench: Bench, servers: dict[str, Server]) -> None:
    """Print decisions a second with tracing and without."""
    for connections in (8, 64):
        loads = run_alternating(bench, servers, 10, connections)
        traced, untraced = (median(load.answered for load in loads[kind]) for kind in ("traced", "ours"))
        what = f"decisions/s with tracing, against without, {connections} connections"
        print_row(what, f"{traced:.0f}", f"{untraced:.0f}", f"{traced / untraced:.2f}", "≥ 0.70")


def measure_experiment(bench: Bench, servers: dict[str, Server]) -> None:
    """Print the CPU time of a decision in an experiment and without one."""
    for connections in (8, 64):
        loads = run_alternating(bench, servers, 50, connections)
        ratio = median(split.cpu / ours.cpu for split, ours in zip(loads["split"], loads["ours"], strict=True))
        split, ours = (median(load.cpu for load in loads[kind]) for kind in ("split", "ours"))
        what = f"50 candidates, {connections} connections: CPU µs in an experiment, against none"
        print_row(what, f"{split:.0f}", f"{ours:.0f}", f"{ratio:.2f}", "≤ 1.05")


def run_soak(bench: Bench, server: Server, rate: float, seconds: int) -> None:
    """Send requests at half of the maximum, and print the growth of memory."""
    before = server.resident()
    uvloop.run(send_paced(bench, server.url, 50, rate, seconds))
    what = f"soak, {seconds} s at half of the maximum: memory before and after, MB"
    print_row(what, f"{before:.0f} → {server.resident():.0f}", target="flat")


def verify_log(folder: Path) -> None:
    """Print the number of decisions that `adloom log verify` reports lost or wrong."""
    command = [sys.executable, "-m", "adloom", "log", "verify", str(folder), "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    wrong = sum(check["count"] for name, check in report["checks"].items() if name != "burst")  # clients are fast
    print_row(f"of {report['decisions']:,} decisions in the log: lost or wrong", f"{wrong}", target="0")


def swap_models() -> str:
    """Run the system test that swaps model pairs under load and stops S3 and MLflow half-way."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/system/test_swap.py", "-k", "under_load"]
    done = subprocess.run(command, capture_output=True, check=False)
    return "0" if done.returncode == 0 else "failed"


def measure(bench: Bench, seconds: int) -> None:
    print_row("", "ours", "peer", "ratio", "target")
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(start_server(bench, kind)) for kind in ("ours", *PEERS)}
        ours = servers["ours"]
        print_row("memory of a worker, 100,000 creatives, 1 M users, MB", f"{ours.resident():.0f}", target="≤ 250")
        maximum = measure_throughput(bench, servers)
        measure_overload(bench, ours, maximum)
        measure_tracing(bench, {"ours": ours, "traced": stack.enter_context(start_server(bench, "traced"))})
        measure_experiment(bench, {"ours": ours, "split": stack.enter_context(start_server(bench, "split"))})
        half = maximum / 2
        tails = [
            np.quantile(uvloop.run(send_paced(bench, ours.url, 50, half, PACED)), 0.99) * 1e3 for _ in range(ROUNDS)
        ]
        print_row(f"p99 at half of the maximum ({half:.0f}/s), 50 candidates, ms", f"{median(tails):.2f}", target="≤ 5")
        run_soak(bench, ours, half, seconds)
        print_row("memory of a worker after all of it, MB", f"{ours.resident():.0f}", target="≤ 250")
    print_row("scoring 50 candidates in the process, median µs", f"{measure_scoring():.1f}", target="≤ 60")
    print_row("swaps under load, S3 and MLflow away: failed requests", swap_models(), target="0")
    verify_log(bench.folder / "home" / "decisions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=60, metavar="SECONDS", help="at half of the maximum [60]")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "MODELS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]))
        return
    with tempfile.TemporaryDirectory(prefix="adloom-bench-") as temporary, collect_spans() as collector:
        folder = Path(temporary)
        write_models(folder / "models")
        token = auth.add_token(folder / "tokens", "benchmark", ["decide", "feedback"])
        measure(Bench(folder, token, collector), options.soak)


if __name__ == "__main__":
    main()
