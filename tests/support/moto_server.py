"""moto's S3, in a thread. Its keys stay as they are written; SeaweedFS changes those that no disk holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer


@contextmanager
def serve() -> Iterator[str]:
    """Yield the endpoint of a server without objects."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
