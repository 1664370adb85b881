"""Compare picture classification over HTTP with two peers.

    python benchmarks/read.py       # about 2 minutes; needs wrk (apt-get install wrk)

32 clients send one picture per request. The service decodes JSON, base64 and PNG, and searches 56,000 known
creatives if the request asks for neighbours. All run the same reader with ADLOOM_SERVE_THREADS threads (2).

threads  onnxruntime alone: 32 threads of one process classify pictures from memory, without HTTP
plain    the same requests to a minimal ASGI application on uvicorn: it decodes a picture with Pillow, runs the reader
         in a thread, and sorts the similarities

Rounds alternate, and medians are printed. On a busy machine 32 threads get more processor time than a service, so
compare the processor milliseconds.
"""

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
import uvicorn
from load_generator import processor_seconds, run_wrk  # type: ignore[import-not-found] # of this folder
from PIL import Image

from adloom.config.settings import Settings
from adloom.config.sources import Source
from adloom.creatives.cnn_net import Body, Probabilities, Reader
from adloom.creatives.pictures import to_floats
from adloom.data import pictures
from adloom.onnx_models import export
from adloom.onnx_models.runtime import open_session
from adloom.serving.api.schemas import READ
from adloom.storage import manifest

CLIENTS, ROUNDS, SECONDS = 32, 3, 3
EDGE, CATEGORIES, WIDTH, DIMENSIONS, KNOWN = 28, 10, 32, 64, 56_000
PICTURES = 64


class Rate(NamedTuple):
    """Throughput and its cost."""

    pictures: float  # per second
    milliseconds: float  # of processor time per picture


def write_reader(folder: Path) -> None:
    """Write an untrained reader of the size in params.yaml, and its known creatives."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    names = [f"category-{number}" for number in range(CATEGORIES)]
    with manifest.draft(folder, "train_cnn", Source(uri="benchmark"), {}) as draft:
        export.export(
            Probabilities(Reader(Body(1, EDGE, WIDTH), 4 * WIDTH, CATEGORIES, DIMENSIONS)),
            lambda batch: {"picture": torch.zeros(batch, 1, EDGE, EDGE)},
            draft.path / "reader.onnx",
            outputs=["probabilities", "embedding", "evidence"],
            dynamic={name: {0: "batch"} for name in ("picture", "probabilities", "embedding")},
            shapes=[(2,)],
        )
        embedding = rng.normal(size=(KNOWN, DIMENSIONS))
        np.savez(
            draft.path / "known.npz",
            creative_id=np.array([f"creative-{number:06}" for number in range(KNOWN)]),
            category=np.array(names)[rng.integers(0, CATEGORIES, KNOWN)],
            embedding=(embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float16),
        )
        card = {"categories": names, "image": {"height": EDGE, "width": EDGE, "channels": 1}}
        draft.write_json("card.json", card)


def create_plain(folder: Path) -> Any:
    """Return a minimal ASGI application that classifies pictures."""
    reader = open_session(folder / "reader.onnx", Settings().serve_threads)
    known = dict(np.load(folder / "known.npz"))
    embeddings = known["embedding"].astype(np.float32)

    def read(body: bytes) -> bytes:
        request = json.loads(body)
        image = Image.open(io.BytesIO(base64.b64decode(request["pictures"][0])))
        pixels = np.asarray(image, np.float32)[None, None] / 127.5 - 1
        probabilities, (embedding,) = reader.run(["probabilities", "embedding"], {"picture": pixels})
        nearest = []
        if request["nearest"]:
            similarity = embeddings @ embedding
            rows = np.argpartition(-similarity, request["nearest"])[: request["nearest"]]
            nearest = [(str(known["creative_id"][row]), float(similarity[row])) for row in rows]
        answer = {"probabilities": probabilities[0].tolist(), "embedding": embedding.tolist(), "nearest": nearest}
        return json.dumps(answer).encode()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = await asyncio.to_thread(read, body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def serve_plain(folder: Path) -> None:
    """Serve the minimal application."""
    server = uvicorn.Config(
        create_plain(folder), port=0, http="httptools", loop="uvloop", lifespan="off", log_level="error"
    )
    bound = server.bind_socket()
    bound.listen()
    print(f"ready on http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    uvicorn.Server(server).run(sockets=[bound])


def command(kind: str, models: Path) -> list[str]:
    """Return the command of a server: ours or the minimal one."""
    if kind == "plain":
        return [sys.executable, __file__, str(models / "cnn")]
    serve = [sys.executable, "-c", "from adloom.cli.main import main; main()", "serve", "--app", "creatives"]
    return [*serve, "--models", str(models), "--port", "0"]


@contextmanager
def start_server(kind: str, models: Path) -> Iterator[tuple[str, int]]:
    """Yield the address and the process id of a service of these models."""
    environment = os.environ | {"ADLOOM_AUTH": "off", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command(kind, models), env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split(";")[0].split()[-1], process.pid
        finally:
            process.terminate()


def measure_http(service: tuple[str, int], bodies: Path) -> Rate:
    """Measure a service with 32 clients."""
    url, pid = service
    before = processor_seconds(pid)
    load = run_wrk(url + READ, bodies, CLIENTS, SECONDS)
    assert not load.refused
    return Rate(load.answered, 1e3 * (processor_seconds(pid) - before) / load.requests)


def measure_threads(folder: Path, batch: np.ndarray) -> Rate:
    """Measure onnxruntime alone with 32 threads."""
    reader, done = open_session(folder / "reader.onnx", Settings().serve_threads), [0] * CLIENTS
    end = time.monotonic() + SECONDS

    def client(number: int) -> None:
        while time.monotonic() < end:
            reader.run(None, {"picture": batch[done[number] % PICTURES][None]})
            done[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    start, before = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Rate(sum(done) / (time.monotonic() - start), 1e3 * (time.process_time() - before) / sum(done))


def write_bodies(path: Path, pngs: list[bytes], nearest: int) -> Path:
    """Write one request per line."""
    texts = [base64.b64encode(png).decode() for png in pngs]
    path.write_text("".join(json.dumps({"pictures": [t], "nearest": nearest}) + "\n" for t in texts), encoding="utf-8")
    return path


def measure(models: Path, bodies: Path, batch: np.ndarray) -> dict[str, Rate]:
    """Return median rates; rounds of ours and the peers alternate."""
    with start_server("ours", models) as ours, start_server("plain", models) as peer:
        run: dict[str, Callable[[], Rate]] = {
            "ours": lambda: measure_http(ours, bodies),
            "threads": lambda: measure_threads(models / "cnn", batch),
            "plain": lambda: measure_http(peer, bodies),
        }
        for warm in run.values():
            warm()
        rounds = [{name: one() for name, one in run.items()} for _ in range(ROUNDS)]
    return {name: Rate(*map(median, zip(*(each[name] for each in rounds), strict=True))) for name in rounds[0]}


def main() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (PICTURES, EDGE, EDGE, 1), np.uint8)
    pngs = [pictures.encode_png(picture) for picture in pixels]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_reader(root / "models" / "cnn")
        batch = to_floats(pixels.transpose(0, 3, 1, 2))
        print(f"{CLIENTS} clients    ours threads  plain  ratios     processor ms: ours threads  plain  ratios")
        for nearest in (0, 3):
            bodies = write_bodies(root / f"nearest-{nearest}.jsonl", pngs, nearest)
            (a, x), (b, y), (c, z) = measure(root / "models", bodies, batch).values()
            rates = f"{a:7.0f} {b:7.0f} {c:6.0f}  {a / b:.2f} {a / c:.2f}"
            print(f"nearest: {nearest}  {rates} {x:22.2f} {y:7.2f} {z:6.2f}  {y / x:.2f} {z / x:.2f}")


if __name__ == "__main__":
    serve_plain(Path(sys.argv[1])) if sys.argv[1:] else main()
