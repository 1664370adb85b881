"""What a decision costs: throughput, lateness, memory and loss of the decide app, beside peers in the same run.

    python benchmarks/decide.py             # about five minutes; needs wrk (apt-get install wrk)
    python benchmarks/decide.py --soak 1800

100,000 creatives, 1,000,000 users, one worker each; tokens, decision log and metrics are switched on. The bare handler
parses the same request and serialises the same answer on the same server; BentoML's @api decides as ours does, without
tokens and log. Rounds of ours and of a peer take turns, and medians are printed, for machines are noisy.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any, cast

import msgspec
import numpy as np
import orjson
import uvicorn
import uvloop
from pydantic import BaseModel

from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.config.params import Source
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.serving.api import auth
from adloom.serving.api.decide_schemas import DECIDE, DecideRequest
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.models import loader, sources
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest

CREATIVES, USERS, CATEGORIES = 100_000, 1_000_000, 20
PLACEMENTS, HOURS = 4, 24
ROUNDS, SECONDS = 3, 2  # of wrk, for each of ours and a peer
PACED, CONNECTIONS = 12, 32  # seconds of a round at half rate, and connections they take
CROWDS = 192, 400  # connections: three and six times as many as keep it busy
SETTINGS: dict[str, Any] = {"loop": "uvloop", "log_level": "error", "access_log": False, "server_header": False}
WRK = """
local lines, n = {}, 0
for line in io.lines(os.getenv("BODIES")) do lines[#lines + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
request = function() n = n + 1; return wrk.format(nil, "/v1/decide", nil, lines[n % #lines + 1]) end
"""


class Body(BaseModel):
    """A request, as BentoML takes it."""

    placement: str
    user_id: str
    context: dict[str, str]
    candidates: list[str]
    n: int
    tmax_ms: int


@dataclass(frozen=True)
class Bench:
    """A folder with models, requests, and a token; and where spans are sent."""

    folder: Path
    token: str
    collector: str

    def bodies(self, candidates: int) -> Path:
        """Return a file with a request a line."""
        path = self.folder / f"bodies-{candidates}.jsonl"
        if not path.is_file():
            rng = random.Random(candidates)
            path.write_text("".join(f"{json.dumps(asked(rng, candidates))}\n" for _ in range(2000)), encoding="utf-8")
        return path


def asked(rng: random.Random, candidates: int) -> dict[str, object]:
    """Return a request."""
    ids = [f"creative-{number:06}" for number in rng.sample(range(CREATIVES), candidates)]
    where = {"placement": f"p{rng.randrange(PLACEMENTS)}", "user_id": str(rng.randrange(USERS))}
    return where | {"context": {"hour": str(rng.randrange(HOURS))}, "candidates": ids, "n": 3, "tmax_ms": 100}


def write_models(root: Path) -> None:
    """Write an audience of all users and a policy of all creatives."""
    names = tuple(f"segment-{number}" for number in range(1, 7))
    made_by = Source(uri="benchmark")
    with manifest.draft(root / "audience", "segment", made_by, {}) as made:
        scale = FeatureScale(np.zeros(5), np.zeros(5), np.ones(5))
        Segmenter(scale, np.zeros((6, 5)), np.arange(6), names).save(made.path / "segmenter.npz")
        users = [pseudonymise(str(number), PUBLISHED_KEY) for number in range(USERS)]
        SegmentIndex.build(users, np.arange(USERS) % 6, names).save(made.path / "members.npz")
        made.write_json("card.json", {"categories": []})
        made.facts["key"] = key_fingerprint(PUBLISHED_KEY)
    with manifest.draft(root / "policy", "train_policy", made_by, {}) as made:
        policy(names).save(made.path / "policy.npz")
        card = {"categories": [f"c{n}" for n in range(CATEGORIES)], "audience": manifest.digest(root / "audience")}
        made.write_json("card.json", card)


def policy(segments: tuple[str, ...]) -> Policy:
    """Return a policy with weights for placement, segment, both together, and hour."""
    rng = np.random.default_rng(0)
    places = tuple(f"p{number}" for number in range(PLACEMENTS))
    both = tuple(f"{place}\x1f{segment}" for place in places for segment in segments)
    values = (places, segments, both, tuple(map(str, range(HOURS))))
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


def bare() -> Any:
    """Return an ASGI application that parses a request and serialises an answer of the same shape, and no more."""
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
        given = orjson.loads(body)
        shown = [{"creative_id": c, "probability": 0.0123456789012345} for c in given["candidates"][: given["n"]]]
        answer = orjson.dumps({**rest, "creatives": shown, "elapsed_ms": 0.123})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def bento(models: Path) -> Any:
    """Return BentoML's service, whose @api decides as ours does."""
    os.environ |= {"BENTOML_DO_NOT_TRACK": "1", "OTEL_SDK_DISABLED": "true"}
    import bentoml  # noqa: PLC0415 - it reads these when it is imported

    served = loader.load(sources.find_in_folder(models, ["audience", "policy"]), 1)
    decider = Decider(served, PseudonymKeys(None), MemoryLog(room=0), "benchmark")

    class Decide:
        @bentoml.api(route=DECIDE)  # type: ignore[untyped-decorator]
        def decide(self, body: Body, /) -> dict[str, Any]:
            asked = msgspec.convert(body.model_dump(), DecideRequest)
            [answer] = decider.decide([(asked, time.perf_counter())])
            return msgspec.to_builtins(answer)  # type: ignore[no-any-return]

    hosted = bentoml.service(name="decide", workers=1, threads=1)(Decide)
    return hosted.to_asgi()


@contextlib.contextmanager
def running(bench: Bench, kind: str) -> Iterator[tuple[str, int]]:
    """Start a server of a kind and yield its URL and process id."""
    if kind in ("ours", "traced"):
        words = ["-m", "adloom", "serve", "--app", "decide", "--port", "0"]
        command = [sys.executable, *words, "--models", str(bench.folder / "models")]
    else:
        command = [sys.executable, __file__, "--serve", kind, str(bench.folder / "models")]
    environment = {
        **os.environ,
        "ADLOOM_TOKENS_FILE": f"{bench.folder}/tokens",
        "ADLOOM_HOME": f"{bench.folder}/{'home' if kind == 'ours' else kind}",
        "ADLOOM_LOG_DISK_MB": "100000",  # a log of half an hour that nobody ships is some ten gigabytes
    }
    if kind == "traced":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = bench.collector
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith("ready on "))
        try:
            yield re.split(r"[ ;\n]", ready)[2], process.pid
        finally:
            process.terminate()


def serve(kind: str, models: Path) -> None:
    """Serve a peer on a free port, in this process."""
    app = bare() if kind == "bare" else bento(models)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        print(f"ready on http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, http="httptools", **SETTINGS)).run(sockets=[bound])


class Collector(BaseHTTPRequestHandler):
    """Takes spans."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextlib.contextmanager
def collecting() -> Iterator[str]:
    """Take spans, and yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def wrk(bench: Bench, url: str, candidates: int, connections: int) -> tuple[float, float]:
    """Return how many requests a second were answered with 2xx, and how many otherwise."""
    script = bench.folder / "wrk.lua"
    script.write_text(WRK, encoding="utf-8")
    environment = {**os.environ, "BODIES": str(bench.bodies(candidates)), "TOKEN": bench.token}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    every, seconds = re.findall(r"(\d+) requests in ([\d.]+)s", said)[0]
    others = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    if "Socket errors" in said:
        raise SystemExit(f"{url}: {said}")
    return (int(every) - others) / float(seconds), others / float(seconds)


class Asker(asyncio.Protocol):
    """A connection that asks when it is time to, and counts from then: a late answer makes the next one late, too."""

    def __init__(self, bodies: list[bytes], due: Iterator[tuple[int, float]], took: list[float]) -> None:
        self._bodies, self._due, self._took = bodies, due, took
        self._read = b""
        self._loop = asyncio.get_running_loop()
        self.over = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._next()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self._read.decode())
        self._took[self._number] = self._loop.time() - self._at
        self._read = b""
        self._next()

    def _next(self) -> None:
        self._number, self._at = next(self._due, (-1, 0.0))
        if self._number < 0:
            self._transport.close()
            self.over.set_result(None)
        else:
            self._loop.call_at(self._at, self._ask)

    def _ask(self) -> None:
        self._transport.write(self._bodies[self._number % len(self._bodies)])


async def paced(bench: Bench, url: str, candidates: int, rate: float, seconds: float) -> list[float]:
    """Ask at a steady rate; return each answer's seconds since it should have been asked, in order of asking."""
    loop = asyncio.get_running_loop()
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {DECIDE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {bench.token}"
    lines = bench.bodies(candidates).read_bytes().splitlines()
    bodies = [b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head.encode(), len(line), line) for line in lines]
    began, count = loop.time() + 0.2, int(rate * seconds)
    took = [0.0] * count

    def due(first: int) -> Iterator[tuple[int, float]]:
        return ((number, began + number / rate) for number in range(first, count, CONNECTIONS))

    connections = [
        await loop.create_connection(partial(Asker, bodies, due(first), took), host, int(port))
        for first in range(CONNECTIONS)
    ]
    await asyncio.gather(*(asker.over for _, asker in connections))
    return took


def scoring() -> float:
    """Return the median µs of scoring 50 candidates, probabilities included."""
    scorer, rng = policy(tuple(f"segment-{number}" for number in range(1, 7))).scorer, random.Random(1)
    questions = [asked(rng, 50) for _ in range(500)]
    times = []
    for question in questions * 4:
        context = {"placement": str(question["placement"]), "segment": "segment-2", "ctx_hour": "12"}
        start = time.perf_counter()
        scorer.probabilities([ScoringRequest(context, question["candidates"])])  # type: ignore[arg-type]
        times.append((time.perf_counter() - start) * 1e6)
    return median(times)


def resident(pid: int) -> float:
    """Return the memory of a process, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def row(what: str, ours: str, peer: str = "", ratio: str = "", bar: str = "") -> None:
    print(f"{what:58} {ours:>12} {peer:>10} {ratio:>7}  {bar}", flush=True)


def throughput(bench: Bench, urls: dict[str, str]) -> float:
    """Print ours against both peers; return our most requests a second with 50 candidates."""
    for candidates, bar in ((10, "≥ 0.50"), (50, "≥ 0.40")):
        most = 0.0
        for connections in (8, 64):
            seen: dict[str, list[float]] = {kind: [] for kind in urls}
            for _ in range(ROUNDS):
                for kind, url in urls.items():
                    answered, others = wrk(bench, url, candidates, connections)
                    if others:
                        raise SystemExit(f"{kind}: {others:.0f} requests a second were not answered with 2xx")
                    seen[kind].append(answered)
            ours, plain, hosted = (median(seen[kind]) for kind in ("ours", "bare", "bento"))
            what = f"requests/s, {candidates} candidates, {connections} connections"
            row(f"{what}: bare handler", f"{ours:.0f}", f"{plain:.0f}", f"{ours / plain:.2f}", bar)
            row(f"{what}: BentoML @api", f"{ours:.0f}", f"{hosted:.0f}", f"{ours / hosted:.1f}", "≥ 5")
            most = max(most, ours)
    return most


def overload(bench: Bench, url: str, most: float) -> None:
    """Print how many decisions are made while more are asked for than can be, by clients that do not wait."""
    for connections in CROWDS:
        rounds = [wrk(bench, url, 50, connections) for _ in range(ROUNDS)]
        answered, away = (median(numbers) for numbers in zip(*rounds, strict=True))
        what = f"decisions/s, {connections} connections ask {(answered + away) / most:.1f} times the most"
        row(what, f"{answered:.0f}", f"{most:.0f}", f"{answered / most:.2f}", "flat")


def tracing(bench: Bench, urls: dict[str, str]) -> None:
    """Print how many decisions a second are made with tracing, of those without."""
    for connections in (8, 64):
        seen: dict[str, list[float]] = {kind: [] for kind in urls}
        for _ in range(ROUNDS):
            for kind, url in urls.items():
                seen[kind].append(wrk(bench, url, 10, connections)[0])
        traced, plain = median(seen["traced"]), median(seen["ours"])
        what = f"decisions/s with tracing, of those without, {connections} connections"
        row(what, f"{traced:.0f}", f"{plain:.0f}", f"{traced / plain:.2f}", "≥ 0.70")


def soak(bench: Bench, url: str, pid: int, rate: float, seconds: int) -> None:
    """Ask at half rate, and print how memory grew."""
    before = resident(pid)
    uvloop.run(paced(bench, url, 50, rate, seconds))
    what = f"soak, {seconds} s at half rate: memory before and after, MB"
    row(what, f"{before:.0f} → {resident(pid):.0f}", bar="flat")


def logged(folder: Path) -> None:
    """Print what `adloom log verify` finds in the log: every decision, and none that is missing or wrong."""
    command = [sys.executable, "-m", "adloom", "log", "verify", str(folder), "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    wrong = sum(check["count"] for check in found["checks"].values())
    row(f"of {found['decisions']:,} decisions in the log: lost or wrong", f"{wrong}", bar="0")


def swaps() -> str:
    """Run the test that swaps ten pairs of a real registry under load, and takes S3 and MLflow away half-way."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/system/test_swap.py", "-k", "ten_pairs"]
    done = subprocess.run(command, capture_output=True, check=False)
    return "0" if done.returncode == 0 else "failed"


def measure(bench: Bench, seconds: int) -> None:
    row("", "ours", "peer", "ratio", "bar")
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(running(bench, kind)) for kind in ("ours", "bare", "bento")}
        (url, pid), urls = servers["ours"], {kind: address for kind, (address, _) in servers.items()}
        row("memory of a worker, 100,000 creatives, 1 M users, MB", f"{resident(pid):.0f}", bar="≤ 250")
        most = throughput(bench, urls)
        overload(bench, url, most)
        traced, _ = stack.enter_context(running(bench, "traced"))
        tracing(bench, {"ours": url, "traced": traced})
        half = most / 2
        tails = [np.quantile(uvloop.run(paced(bench, url, 50, half, PACED)), 0.99) * 1e3 for _ in range(ROUNDS)]
        row(f"p99 at half of the most ({half:.0f}/s), 50 candidates, ms", f"{median(tails):.2f}", bar="≤ 5")
        soak(bench, url, pid, half, seconds)
        row("memory of a worker after all of it, MB", f"{resident(pid):.0f}", bar="≤ 250")
    row("scoring 50 candidates in the process, median µs", f"{scoring():.1f}", bar="≤ 60")
    row("10 swaps under load, S3 and MLflow away: failed requests", swaps(), bar="0")
    logged(bench.folder / "home" / "decisions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=60, metavar="SECONDS", help="at half rate [60]")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "MODELS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], Path(given.serve[1]))
        return
    with tempfile.TemporaryDirectory(prefix="adloom-bench-") as place, collecting() as collector:
        folder = Path(place)
        write_models(folder / "models")
        measure(
            Bench(folder, auth.add_token(folder / "tokens", "benchmark", ["decide", "feedback"]), collector), given.soak
        )


if __name__ == "__main__":
    main()
