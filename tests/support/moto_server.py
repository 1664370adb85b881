"""moto's S3, in a thread. Its keys stay as they are written; SeaweedFS changes those that no disk holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer
from tests.support.aws_environment import replace_variables


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


def visit(endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Set this process's environment to a server."""
    values = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_ENDPOINT_URL_S3": endpoint}
    replace_variables(values, patch)
