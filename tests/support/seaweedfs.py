"""SeaweedFS, an S3 server, on free ports, with an administrator and a reader."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.support.aws_environment import replace_variables

ACCESS, SECRET = "adloom-tests", "a secret of tests only"
READER = "adloom-reader"  # may only list and read the bucket; same secret
BUCKET = "shop"
READY_WITHIN = 60  # seconds
STARTS = 3
PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")


@dataclass
class Server:
    """A server that can be killed and restarted with the same ports and data, and an administrator's client."""

    port: int
    command: list[str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the server and wait until its bucket accepts objects."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _await(self.process, self)

    def kill(self) -> None:
        """Kill the server."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}),
        )

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def keys(self, bucket: str, prefix: str) -> set[str]:
        page = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return {entry["Key"].removeprefix(prefix) for entry in page.get("Contents", [])}

    def environment(self) -> dict[str, str]:
        """Return a user's environment variables."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def visit(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Set this process's environment to this server."""
    replace_variables(server.environment(), patch)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Yield a server with its data in a folder and the bucket `shop`."""
    users = [("tests", ACCESS, ["Admin"]), ("reader", READER, [f"Read:{BUCKET}", f"List:{BUCKET}"])]
    identities = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": SECRET}], "actions": actions}
        for name, key, actions in users
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    server = _start(folder)
    try:
        yield server
    finally:
        server.kill()


def _start(folder: Path) -> Server:
    """Start a server; retry with other ports if another program takes one."""
    for attempt in range(1, STARTS + 1):
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        server = Server(ports["s3"], _command(folder, ports))
        try:
            server.start()
        except AssertionError:
            exited = server.process is not None and server.process.poll() is not None
            server.kill()
            if not exited or attempt == STARTS:
                raise
        else:
            break
    return server


def _command(folder: Path, ports: dict[str, int]) -> list[str]:
    flags = [
        f"-{name.replace('.', '.port.') if '.' in name else name + '.port'}={port}" for name, port in ports.items()
    ]
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    command = [weed, "-logtostderr=false", f"-logdir={folder}", "server", f"-dir={folder}", "-s3", *flags]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder / 's3.json'}", "-master.telemetry=false"]
    command += ["-volume.max=64"]  # each bucket needs several; the default is 8
    command += ["-master.electionTimeout=1s"]  # else a restarted master waits ten seconds for others
    return [*command, "-s3.port.iceberg=0", "-s3.port.lance=0"]  # else fixed ports, which allow one server only


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def _await(process: subprocess.Popen[bytes], server: Server) -> None:
    """Create the bucket and wait until it accepts objects."""
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            if BUCKET not in {bucket["Name"] for bucket in server.client.list_buckets()["Buckets"]}:
                server.client.create_bucket(Bucket=BUCKET)
            server.put(BUCKET, "ready", b"yes")
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > until or process.poll() is not None:
                raise AssertionError(f"SeaweedFS is not ready (exit code {process.returncode}): {error}") from error
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
        else:
            return
