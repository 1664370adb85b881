"""The end of a service: the decision log is closed first, whatever else hangs."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.support.decision_logs import LIMITS, WAIT_SECONDS, decision, read_log, select_records

from adloom.decision_log.log import DecisionLog
from adloom.serving.app import DECIDE_ENDPOINTS, Service, ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import ModelRefresher
from adloom.serving.models.sources import Sources
from adloom.serving.segments import PseudonymKeys
from adloom.storage.local import FolderObjectStore


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def lifespan(received: asyncio.Queue[Message]) -> tuple[Scope, Receive, Send]:
    async def send(message: Message) -> None:
        pass

    return {"type": "lifespan"}, received.get, send


async def hangs_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that never ends."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await asyncio.Event().wait()


def test_the_log_is_shipped_while_the_application_hangs_at_its_end(tmp_path: Path, log: DecisionLog) -> None:
    async def serve() -> None:
        service = Service(Models({}, {}), ServiceDependencies(PseudonymKeys(None), log=log), DECIDE_ENDPOINTS)
        received: asyncio.Queue[Message] = asyncio.Queue()
        serving = asyncio.ensure_future(service.wrap(hangs_at_the_end)(*lifespan(received)))
        received.put_nowait({"type": "lifespan.startup"})
        log.append(decision())
        received.put_nowait({"type": "lifespan.shutdown"})
        await until(lambda: log.statistics().shipped == 1)
        serving.cancel()

    asyncio.run(serve())
    assert select_records(read_log(tmp_path / "remote")) == [decision()]


def test_the_log_is_shipped_while_the_registry_hangs(tmp_path: Path, log: DecisionLog) -> None:
    answers, asked = threading.Event(), threading.Event()

    def find() -> Sources:
        asked.set()
        answers.wait(WAIT_SECONDS)
        return {}

    async def serve() -> None:
        follower = ModelRefresher(find, 1, interval=0.01)
        follower.start({})
        service = Service(
            Models({}, {}), ServiceDependencies(PseudonymKeys(None), log=log, refresher=follower), DECIDE_ENDPOINTS
        )
        await service.start()
        await until(asked.is_set)
        log.append(decision())
        ending = asyncio.create_task(service.stop())
        await until(lambda: log.statistics().shipped == 1)
        answers.set()
        await ending

    asyncio.run(serve())
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
