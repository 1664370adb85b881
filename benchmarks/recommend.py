"""Measure /v1/recommend with 100,000 items and 1,000,000 users: throughput, CPU time, and latency at half rate.

    python benchmarks/recommend.py        # about three minutes

Each model serves alone, with random weights, in one worker of the decide app. Users have 30 items. The target: p99 of
at most 5 ms at half of the rate that saturates the worker. Latency counts from the schedule.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
import uvloop
from decide import Bench, PacedClient, Server, start_server  # type: ignore[import-not-found] # of this folder

from adloom.arrays import Float32Array, Int32Array
from adloom.config.sources import Source
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.histories import Histories
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity
from adloom.recommendation.recurrent import RecurrentScorer
from adloom.sequences.net import SequenceLstm
from adloom.serving.api import auth
from adloom.serving.api.recommend_schemas import RECOMMEND
from adloom.stages import sequence_export
from adloom.storage import manifest, npz

ITEMS, USERS, LENGTH, NEIGHBOURS, FACTORS, HIDDEN = 100_000, 1_000_000, 30, 50, 32, 64
CONNECTIONS, SATURATING, SECONDS, ROUNDS = 16, 1000, 10, 3
TARGET = 5.0  # ms


def write_model(folder: Path, chosen: str) -> None:
    """Write a recommender with random weights."""
    rng = np.random.default_rng(0)
    share = rng.random(ITEMS, np.float32)
    users = np.sort(np.array([pseudonymise(str(number), PUBLISHED_KEY) for number in range(USERS)], "S32"))
    items = rng.integers(0, ITEMS, USERS * LENGTH).astype(np.int32)
    with manifest.draft(folder / "recommender", "recommend", Source(uri="benchmark"), {}) as draft:
        npz.save(draft.path / "items.npz", items=np.array([f"item-{number:06}" for number in range(ITEMS)]))
        popularity = Popularity(share, np.array([], str), np.zeros((0, ITEMS), np.float32))
        npz.save(draft.path / "popularity.npz", **popularity.to_arrays())
        Histories(users, np.arange(USERS + 1) * LENGTH, items).save(draft.path / "histories.npz")
        write_scorer(draft.path, chosen, share, rng)
        draft.write_json("card.json", {"categories": [], "chosen": chosen})
        draft.facts["key"] = key_fingerprint(PUBLISHED_KEY)


def write_scorer(folder: Path, chosen: str, share: Float32Array, rng: np.random.Generator) -> None:
    """Write the chosen model's files."""
    if chosen == "neighbours":
        neighbours: Int32Array = rng.integers(0, ITEMS, (ITEMS, NEIGHBOURS)).astype(np.int32)
        similarity = rng.random((ITEMS, NEIGHBOURS), np.float32)
        npz.save(folder / "neighbours.npz", **ItemNeighbours(neighbours, similarity, share).to_arrays())
    elif chosen == "factors":
        factors = rng.normal(size=(ITEMS, FACTORS)).astype(np.float32)
        npz.save(folder / "factors.npz", **ItemFactors(factors, 4.0, 10.0).to_arrays())
    elif chosen == "lstm":
        torch.manual_seed(0)
        net = SequenceLstm(ITEMS + 1, HIDDEN, 1, 0.0)
        sequence_export.export_onnx(sequence_export.Encoder(net), folder / "encoder.onnx")
        embedding, bias = net.embedding.weight.detach().numpy()[1:], net.bias.detach().numpy()[1:]
        scorer = RecurrentScorer(lambda token: token.astype(np.float32), embedding, bias, 50)
        npz.save(folder / "lstm.npz", **scorer.to_arrays())


def build_requests(token: str) -> list[bytes]:
    """Return requests for random users, as bytes."""
    rng = random.Random(1)
    head = f"POST {RECOMMEND} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}"
    lines = [json.dumps({"user_id": str(rng.randrange(USERS)), "n": 10}).encode() for _ in range(2000)]
    return [b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head.encode(), len(line), line) for line in lines]


async def send(requests: list[bytes], url: str, count: int, rate: float, connections: int) -> tuple[list[float], float]:
    """Send requests at a rate, or as fast as answers come if it is infinite; return latencies and the duration."""
    loop = asyncio.get_running_loop()
    host, port = url.removeprefix("http://").split(":")
    start, latencies = loop.time() + 0.2, [0.0] * count

    def due(first: int) -> Iterator[tuple[int, float]]:
        return ((number, start + number / rate) for number in range(first, count, connections))

    clients = [
        await loop.create_connection(partial(PacedClient, requests, due(first), latencies), host, int(port))
        for first in range(connections)
    ]
    await asyncio.gather(*(client.done for _, client in clients))
    return latencies, loop.time() - start


def measure(server: Server, requests: list[bytes]) -> None:
    """Print one model's numbers: medians of rounds."""
    url, rates, tails, cpu = server.url, [], [], []
    uvloop.run(send(requests, url, 200, float("inf"), 4))
    for _ in range(ROUNDS):
        before = server.cpu()
        _, duration = uvloop.run(send(requests, url, SATURATING, float("inf"), 4))
        cpu.append((server.cpu() - before) / SATURATING * 1e3)
        rates.append(SATURATING / duration)
        rate = rates[-1] / 2
        latencies, _ = uvloop.run(send(requests, url, int(rate * SECONDS), rate, CONNECTIONS))
        tails.append(np.quantile(latencies, [0.5, 0.99]) * 1e3)
    p50, p99 = (median(tail[end] for tail in tails) for end in (0, 1))
    verdict = "met" if p99 <= TARGET else "missed"
    print(f"{median(rates):8.0f}/s {median(cpu):8.2f} ms CPU", end="")
    print(f"   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {verdict}", flush=True)


def main() -> None:
    """Measure each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["popularity", "neighbours", "factors", "lstm"])
    for chosen in parser.parse_args().models:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            write_model(Path(folder) / "models", chosen)
            token = auth.add_token(Path(folder) / "tokens", "benchmark", ["decide"])
            server = stack.enter_context(start_server(Bench(Path(folder), token, ""), "ours"))
            time.sleep(1)
            print(f"{chosen:12}", end="", flush=True)
            measure(server, build_requests(token))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
