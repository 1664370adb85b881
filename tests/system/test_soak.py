"""A minute of decisions and feedback: the process stays as large as it was, and its log has every one of them."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.decide_server import ASKED, DecideServer, deciding, post
from tests.support.tiny_models import write_models

from adloom.serving.api.decide_schemas import FEEDBACK

SECONDS = 60
WARM = 15  # seconds until all that is remembered has been filled once
CLIENTS = 4
GROWTH = 4 << 20  # bytes: a kilobyte kept of each decision would be ten times as much
CREATIVES = 200


def resident(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(server: DecideServer, client: int, until: float) -> int:
    """Ask for decisions, each about others, tell of a click on each, and return how many there were."""
    count = 0
    with server.connect() as connection:
        while time.monotonic() < until:
            shown = [f"creative-{(client + count * step) % CREATIVES}" for step in range(1, 11)]
            answer = connection.ask({**ASKED, "user_id": str(count), "candidates": shown})
            assert answer.status == 200
            clicked = {"decision_id": answer.body["decision_id"], "kind": "click"}
            clicked["creative_id"] = answer.body["creatives"][0]["creative_id"]
            connection.send(post(clicked, path=FEEDBACK))
            assert connection.answer().status == 200
            count += 1
    return count


def test_a_minute_leaves_memory_as_it_was_and_every_decision_in_the_log(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with (
        deciding(tmp_path, ["--models", "models"], {"ADLOOM_AUTH": "off"}) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        count = 0
        for seconds in (WARM, SECONDS - WARM):
            before, until = resident(server.process.pid), time.monotonic() + seconds
            count += sum(pool.map(lambda client, until=until: ask(server, client, until), range(CLIENTS)))
        assert resident(server.process.pid) - before < GROWTH
        server.end()
        found = server.verified()
    assert (found["decisions"], found["feedback"]) == (count, count)
    assert count > SECONDS  # it was busy
