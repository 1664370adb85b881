"""Many decisions, clicks and broken pictures: the process stays as large as it was, and its log has every decision."""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from tests.support.decide_server import REQUEST_BODY, DecideServer, post, run_decide_server
from tests.support.http_client import encode
from tests.support.odd_pictures import BROKEN, GOOD
from tests.support.tiny_models import write_models

from adloom.serving.api.decide_schemas import FEEDBACK
from adloom.serving.api.schemas import MAX_PICTURES, READ

WARM = 1_500  # decisions of each client until every cache has been filled once
COUNT = 4_000  # of each client after that
CLIENTS = 4
GROWTH = 4 << 20  # bytes: a kilobyte kept of each decision would be four times as much
CREATIVES = 200


def resident(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(server: DecideServer, client: int, numbers: range) -> None:
    """Ask for decisions, each about other creatives, and report a click on each."""
    with server.connect() as connection:
        for number in numbers:
            candidates = [f"creative-{(client + number * step) % CREATIVES}" for step in range(1, 11)]
            answer = connection.ask({**REQUEST_BODY, "user_id": str(number), "candidates": candidates})
            assert answer.status == 200
            click = {"decision_id": answer.body["decision_id"], "kind": "click"}
            click["creative_id"] = answer.body["creatives"][0]["creative_id"]
            connection.send(post(click, path=FEEDBACK))
            assert connection.answer().status == 200


def test_memory_stays_as_it_was_and_the_log_has_every_decision(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with (
        run_decide_server(tmp_path, ["--models", "models"], {"ADLOOM_AUTH": "off"}) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        for numbers in (range(WARM), range(WARM, WARM + COUNT)):
            before = resident(server.process.pid)
            list(pool.map(ask, [server] * CLIENTS, range(CLIENTS), [numbers] * CLIENTS))
        assert resident(server.process.pid) - before < GROWTH
        server.end()
        found = server.verify_log()
    assert found["decisions"] == found["feedback"] == CLIENTS * (WARM + COUNT)


def send_corpus(client: httpx.Client, rounds: int) -> Counter[int]:
    """Read every odd and every broken picture some times; return the statuses of requests and items."""
    images = [encode(image) for image, *_ in (*GOOD.values(), *BROKEN.values())]
    statuses: Counter[int] = Counter()
    for _ in range(rounds):
        for at in range(0, len(images), MAX_PICTURES):
            response = client.post(READ, json={"pictures": images[at : at + MAX_PICTURES]})
            statuses[response.status_code] += 1
            statuses.update(item.get("error", {"status": 200})["status"] for item in response.json()["items"])
    return statuses


def test_broken_pictures_leave_the_creatives_service_as_it_was(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    command = [sys.executable, "-m", "adloom", "serve", "--app", "creatives", "--models", "models", "--port", "0"]
    environment = {**os.environ, "ADLOOM_AUTH": "off", "ADLOOM_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            url = process.stdout.readline().split()[2].rstrip(";")
            with httpx.Client(base_url=url, timeout=60) as client:
                send_corpus(client, 10)
                before = resident(process.pid)
                statuses = send_corpus(client, 30)
                assert resident(process.pid) - before < GROWTH
                assert client.get("/readyz").status_code == 200
        finally:
            process.terminate()
    assert statuses.keys() == {200, 422}
    assert statuses[422] == 30 * len(BROKEN)
