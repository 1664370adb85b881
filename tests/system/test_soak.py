"""Many decisions and clicks: the process stays as large as it was, and its log has every one of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.decide_server import REQUEST_BODY, DecideServer, post, run_decide_server
from tests.support.tiny_models import write_models

from adloom.serving.api.decide_schemas import FEEDBACK

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
