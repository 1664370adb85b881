"""
Fetching champions in a process of its own: MLflow's client takes seconds to import and a hundred megabytes, and
whatever the registry or the store of its files suffers from, a service that only reads a line does not.

The process looks at the registry for each line it is sent, answers with a line, and ends when its input does.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from adloom.errors import AdloomError, OutsideError, UserError
from adloom.serving import sources, traces
from adloom.serving.sources import Absent, Found, Sources


@dataclass(frozen=True)
class Wanted:
    """Which champions."""

    params: str  # path of params.yaml, which names the project
    models: list[str]
    pins: Mapping[str, int]

    def to_json(self) -> str:
        """Return what `parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


class Fetcher:
    """The process that fetches, started when it is first needed and again when it has ended."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __call__(self) -> Sources:
        """Return where the champions are; blocks until they are. Raises AdloomError when nobody can tell."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write("\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
            except (OSError, ValueError):
                self._stop()
                raise OutsideError("the process that fetches champions ended; it is started again") from None
        if error := answer.get("error"):
            raise (UserError if answer["mendable"] else AdloomError)(error)
        return {model: _source(found) for model, found in answer["sources"].items()}

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "adloom.serving.fetch", self.wanted.to_json()]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
            )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # a fetch under way leaves no artifact that is not whole
            self._process.communicate()
            self._process = None


def _source(found: Mapping[str, str | int | None]) -> Found | Absent:
    if "reason" in found:
        return Absent(str(found["reason"]))
    version = found["version"]
    return Found(Path(str(found["folder"])), None if version is None else int(version))


def main() -> None:
    """Answer each line of the input with where the champions are."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # what a library prints is no answer
    traces.set_up()
    wanted = Wanted.parse(sys.argv[1])
    for _ in sys.stdin:
        try:
            answer = {"sources": {model: asdict(found) for model, found in _look(wanted).items()}}
        except AdloomError as error:
            answer = {"error": str(error), "mendable": isinstance(error, UserError)}  # type: ignore[dict-item]
        print(json.dumps(answer, default=str), file=answers, flush=True)


def _look(wanted: Wanted) -> Sources:
    from adloom import params
    from adloom.io import outside
    from adloom.settings import Settings

    settings = Settings()
    registry = outside.build(settings, params.load(Path(wanted.params)).project).registry
    return sources.champions(registry, settings.home, wanted.models, wanted.pins)


if __name__ == "__main__":
    main()
