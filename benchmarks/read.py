"""Reading pictures over HTTP beside onnxruntime alone: ours, the peer, the ratio.

    python benchmarks/read.py       # about a minute; needs wrk (apt-get install wrk)

32 clients, one picture a request. The service decodes JSON, base64 and PNG, and compares with 56,000 known creatives
where that is asked; the peer runs the same reader on pictures that lie in memory, from 32 threads. Both use
ADLOOM_SERVE_THREADS threads (2). Rounds of ours and of the peer take turns, and medians are printed. On a machine that
does other work, 32 threads get more of the processor than a service does: compare the milliseconds of processor time.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from adloom.config.params import Source
from adloom.config.settings import Settings
from adloom.creatives.cnn_net import Probabilities, Reader
from adloom.creatives.pictures import to_floats
from adloom.data import pictures
from adloom.onnx_models import export
from adloom.onnx_models.runtime import open_session
from adloom.serving.api.schemas import READ
from adloom.storage import manifest

CLIENTS, ROUNDS, SECONDS = 32, 3, 3
EDGE, CATEGORIES, WIDTH, DIMENSIONS, KNOWN = 28, 10, 32, 64, 56_000
PICTURES = 64
WRK = """
local lines, n = {}, 0
for line in io.lines(os.getenv("BODIES")) do lines[#lines + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function() n = n + 1; return wrk.format(nil, nil, nil, lines[n % #lines + 1]) end
"""


class Rate(NamedTuple):
    """How fast pictures are read, and at what cost."""

    pictures: float  # a second
    milliseconds: float  # of processor time for each


def write_reader(folder: Path) -> None:
    """Write an untrained reader of the size that params.yaml trains, and the creatives it knows."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    names = [f"category-{number}" for number in range(CATEGORIES)]
    with manifest.draft(folder, "train_cnn", Source(uri="benchmark"), {}) as made:
        export.export(
            Probabilities(Reader(1, EDGE, CATEGORIES, WIDTH, DIMENSIONS)),
            lambda batch: {"picture": torch.zeros(batch, 1, EDGE, EDGE)},
            made.path / "reader.onnx",
            outputs=["probabilities", "embedding"],
            dynamic={name: {0: "batch"} for name in ("picture", "probabilities", "embedding")},
            shapes=[(2,)],
        )
        embedding = rng.normal(size=(KNOWN, DIMENSIONS))
        np.savez(
            made.path / "known.npz",
            creative_id=np.array([f"creative-{number:06}" for number in range(KNOWN)]),
            category=np.array(names)[rng.integers(0, CATEGORIES, KNOWN)],
            embedding=(embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float16),
        )
        card = {"categories": names, "image": {"height": EDGE, "width": EDGE, "channels": 1}}
        made.write_json("card.json", card)


@contextmanager
def serving(models: Path) -> Iterator[tuple[str, int]]:
    """Yield the address and the process id of a service of these models."""
    command = [sys.executable, "-m", "adloom", "serve", "--app", "creatives"]
    options = ["--models", str(models), "--port", "0"]
    environment = os.environ | {"ADLOOM_AUTH": "off"}
    with subprocess.Popen([*command, *options], env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split(";")[0].split()[-1], process.pid
        finally:
            process.terminate()


def ours(url: str, pid: int, bodies: Path) -> Rate:
    """Read pictures with the service, for 32 clients."""
    script = bodies.with_suffix(".lua")
    script.write_text(WRK, encoding="utf-8")
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}", "-s", str(script), url + READ]
    before = processor_seconds(pid)
    said = subprocess.run(command, env=os.environ | {"BODIES": str(bodies)}, capture_output=True, text=True, check=True)
    assert "Non-2xx" not in said.stdout, said.stdout
    count, seconds = re.findall(r"(\d+) requests in ([\d.]+)s", said.stdout)[0]
    return Rate(int(count) / float(seconds), 1e3 * (processor_seconds(pid) - before) / int(count))


def bare(folder: Path, batch: np.ndarray) -> Rate:
    """Read pictures with onnxruntime alone, for 32 threads."""
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


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_bodies(path: Path, pngs: list[bytes], nearest: int) -> Path:
    """Write a request a line."""
    texts = [base64.b64encode(png).decode() for png in pngs]
    path.write_text("".join(json.dumps({"pictures": [t], "nearest": nearest}) + "\n" for t in texts), encoding="utf-8")
    return path


def main() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (PICTURES, EDGE, EDGE, 1), np.uint8)
    pngs = [pictures.encode_png(picture) for picture in pixels]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_reader(root / "models" / "cnn")
        batch = to_floats(pixels.transpose(0, 3, 1, 2))
        print(f"{CLIENTS} clients       pictures/s: ours  onnxruntime  ratio   processor ms: ours  onnxruntime  ratio")
        for nearest in (0, 3):
            bodies = write_bodies(root / f"nearest-{nearest}.jsonl", pngs, nearest)
            with serving(root / "models") as (url, pid):
                ours(url, pid, bodies)  # warm
                rounds = [(ours(url, pid, bodies), bare(root / "models" / "cnn", batch)) for _ in range(ROUNDS)]
            a, b = (median(one.pictures for one, _ in rounds), median(peer.pictures for _, peer in rounds))
            c, d = (median(one.milliseconds for one, _ in rounds), median(peer.milliseconds for _, peer in rounds))
            print(f"nearest: {nearest} {a:20.0f} {b:12.0f} {a / b:6.2f} {c:20.2f} {d:12.2f} {d / c:6.2f}")


if __name__ == "__main__":
    main()
