"""Load from wrk (apt-get install wrk), and the processor time of the service that answers it."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

SCRIPT = """
local lines, n = {}, 0
for line in io.lines(os.getenv("BODIES")) do lines[#lines + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = os.getenv("TOKEN") and "Bearer " .. os.getenv("TOKEN")
request = function() n = n + 1; return wrk.format(nil, nil, nil, lines[n % #lines + 1]) end
"""


class Load(NamedTuple):
    """The answers of one round."""

    answered: float  # with 2xx, per second
    refused: float  # others, per second
    requests: int


def run_wrk(url: str, bodies: Path, connections: int, seconds: float, token: str | None = None) -> Load:
    """Post the lines of a file in turn; each connection sends the next request after an answer."""
    script = bodies.with_suffix(".lua")
    script.write_text(SCRIPT, encoding="utf-8")
    environment = os.environ | {"BODIES": str(bodies)} | ({"TOKEN": token} if token else {})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--timeout", "60s", "-s", str(script), url]
    report = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    if "Socket errors" in report:
        raise SystemExit(f"{url}: {report}")
    requests, duration = re.findall(r"(\d+) requests in ([\d.]+)s", report)[0]
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", report)))
    return Load((int(requests) - refused) / float(duration), refused / float(duration), int(requests))


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
