"""BentoML's own commands on the creatives service: serve, build, and serve what was built."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.testclient import TestClient
from tests.support.http_client import drop_signatures
from tests.support.tiny_models import write_models

from adloom import __version__
from adloom.serving import server
from adloom.serving.api.schemas import GENERATE, READ, WRITE
from adloom.serving.app import ServiceDependencies
from adloom.serving.client import GREY_PIXEL
from adloom.serving.models import loader, sources
from adloom.serving.segments import PseudonymKeys

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "bentoml.md"
BENTOML = [sys.executable, "-m", "bentoml"]
TARGET = "adloom.serving.creatives.bento_service:creatives"
REQUESTS: dict[str, dict[str, Any]] = {
    GENERATE: {"category": "Bag", "n": 2, "seed": 1},
    READ: {"pictures": [GREY_PIXEL]},
    WRITE: {"n": 2, "seed": 1},
}
WHEEL = f"adloom-{__version__}-py3-none-any.whl"
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the folder of docs/how-to/bentoml.md; its wheel is empty, because building installs nothing."""
    folder = tmp_path_factory.mktemp("project")
    write_models(folder / "models")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "wheels").mkdir()
    zipfile.ZipFile(folder / "wheels" / WHEEL, "w").close()
    [bentofile] = re.findall(r"```text\n(service:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert yaml.safe_load(bentofile)["service"] == TARGET
    (folder / "bentofile.yaml").write_text(bentofile, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    private = {"ADLOOM_HOME": str(home), "BENTOML_HOME": str(home), "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics")}
    return {**os.environ, **private, "ADLOOM_AUTH": "off", "BENTOML_DO_NOT_TRACK": "True"}


@contextlib.contextmanager
def bentoml_serve(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*BENTOML, "serve", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise TimeoutError(url)


def ask(url: str) -> dict[str, Any]:
    answers = {path: httpx.post(url + path, json=body, timeout=PATIENCE) for path, body in REQUESTS.items()}
    return {path: drop_signatures(answer.json()) for path, answer in answers.items()}


@pytest.fixture(scope="module")
def expected(project: Path) -> dict[str, Any]:
    """Return the answers of the service of `adloom serve`."""
    models = loader.load(sources.find_in_folder(project / "models"), threads=1)
    app = server.create_named_app("creatives", models, ServiceDependencies(PseudonymKeys(None)))
    with TestClient(app) as client:
        return {path: drop_signatures(client.post(path, json=body).json()) for path, body in REQUESTS.items()}


def test_bentoml_serves_the_creatives(project: Path, environment: dict[str, str], expected: dict[str, Any]) -> None:
    with bentoml_serve(project, environment, TARGET, "--arg", "models=models") as url:
        assert ask(url) == expected
        assert httpx.post(url + GENERATE, json={"category": "Hat"}).status_code == 422
        assert 'adloom_batch_size_count{path="/v1/creatives/generate"} 2.0' in httpx.get(f"{url}/metrics").text


def test_a_bento_serves_its_own_models(project: Path, environment: dict[str, str], expected: dict[str, Any]) -> None:
    built = subprocess.run(
        [*BENTOML, "build"], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    tag = re.findall(r'Bento\(tag="(adloom:\w+)"\)', built.stdout)[0]
    bento = Path(environment["BENTOML_HOME"], "bentos", *tag.split(":"))
    requirements = (bento / "env" / "python" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert requirements[:2] == ["--find-links ./wheels", f"adloom[serve]=={__version__}"]
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert 0 < dockerfile.index("./src/wheels ./src/wheels") < dockerfile.index("pip install -r")
    assert (bento / "src" / "wheels" / WHEEL).is_file()
    with bentoml_serve(project.parent, environment, tag) as url:
        assert ask(url) == expected
