"""A TCP relay in front of a server that can cut connections, stall, refuse and heal."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

BLOCK = 1 << 16
Direction = Literal["read", "write"]


@dataclass
class Fault:
    """
    A fault of all connections after this many bytes in one direction, and then of some new connections.

    cut: they are reset. silent: they stay open, and no bytes pass.
    """

    how: Literal["cut", "silent"]
    direction: Direction
    after: int  # bytes
    then: float = float("inf")  # number of new connections that fail before the relay heals
    since: bytes = b""  # count from the first block with this prefix, such as b"PUT "
    struck: bool = False


class Relay:
    """Pass bytes between clients and a server on this machine, in a thread."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: set[asyncio.StreamWriter] = set()
        self._faults: list[Fault] = []
        self._has_struck = threading.Event()
        self._listening: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, *faults: Fault) -> None:
        """Schedule these faults in sequence."""
        self._faults = list(faults)
        self._has_struck.clear()

    def has_struck(self, within: float) -> bool:
        """Wait up to this many seconds for a fault; return whether one struck."""
        return self._has_struck.wait(within)

    def refuse(self) -> None:
        """Cut all connections and accept none, like a dead server."""
        self._do(self._close())

    def heal(self) -> None:
        """Pass all bytes again."""
        self._faults = []
        self._do(self._listen())

    @property
    def whole(self) -> bool:
        """Return whether all faults are over."""
        return not self._faults

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        if fault := self._current():
            fault.then -= 1
            if fault.how == "cut":
                writer.transport.abort()
            return
        with suppress(OSError):
            there, server = await asyncio.open_connection("127.0.0.1", self._server_port)
            self._open.add(server)
            await asyncio.gather(self._pass("write", reader, server), self._pass("read", there, writer))

    def _current(self) -> Fault | None:
        """Return the fault of new connections, after removing the faults that are over."""
        while self._faults and self._faults[0].struck and self._faults[0].then <= 0:
            self._faults.pop(0)
        return self._faults[0] if self._faults and self._faults[0].struck else None

    async def _pass(self, direction: Direction, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while block := await source.read(BLOCK):
                allowed = self._allowed(direction, block)
                target.write(block[:allowed])
                if allowed < len(block):
                    self._strike()
                    return
                await target.drain()
            target.close()

    def _allowed(self, direction: Direction, block: bytes) -> int:
        """Return the number of bytes that pass before a fault."""
        if self._current():
            return 0
        fault = next((f for f in self._faults[:1] if f.direction == direction and block.startswith(f.since)), None)
        if fault is None:
            return len(block)
        fault.since = b""
        allowed = min(len(block), fault.after)
        fault.after -= allowed
        return allowed

    def _strike(self) -> None:
        fault = self._faults[0]
        if not fault.struck:
            fault.struck = True
            self._has_struck.set()
            if fault.how == "cut":
                self._cut()
        self._current()
