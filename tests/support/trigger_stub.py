"""A local trigger server that records what it is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.local_http import serve

TOKEN = "a-token-that-is-long-enough"


@dataclass
class TriggerStub:
    """Its address, the status of its answers, and the requests with a valid token."""

    url: str = ""
    status: int = 201
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def trigger_server() -> Iterator[TriggerStub]:
    """Yield the server."""
    stub = TriggerStub()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            admitted = self.headers["Authorization"] == f"Bearer {TOKEN}"
            if admitted:
                stub.requests.append(body)
            self.send_response(stub.status if admitted else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"note": f"started: {body['reason']}"}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with serve(Listener) as url:
        stub.url = f"{url}/v1/trigger"
        yield stub
