"""A client that starts the service and sends example requests."""

import base64
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import requests

from adloom.config.models import MODELS
from adloom.connection_errors import describe_error
from adloom.errors import ExternalServiceError
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.recommend_schemas import RECOMMEND
from adloom.serving.api.schemas import COMPOSE, GENERATE, READ, SEGMENT, STYLIZE, WRITE

TIMEOUT = 30  # seconds for an answer
STOP_TIMEOUT = 10  # seconds until the process is killed

GREY_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="  # a PNG

POLICY = "policy"

Answer = dict[str, Any]


@contextlib.contextmanager
def serving(*arguments: str, log: Path | None = None, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """
    Run `adloom serve` on a free port, and yield its URL; its log may go to a file.

    Raises ExternalServiceError when it does not start.
    """
    command = [sys.executable, "-m", "adloom", "serve", "--port", "0", *arguments]
    authentication = {} if "ADLOOM_TOKENS_FILE" in os.environ else {"ADLOOM_AUTH": "off"}
    variables = {**os.environ, **authentication, **(environment or {})}
    with (
        log.open("w", encoding="utf-8") if log else contextlib.nullcontext() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables) as process,  # noqa: S603
    ):
        try:
            yield _wait_until_ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def read_metrics(url: str) -> str:
    """Return the text of a service's metrics. Raises ExternalServiceError."""
    try:
        response = requests.get(f"{url.rstrip('/')}/metrics", timeout=TIMEOUT)
        response.raise_for_status()
    except requests.RequestException as error:
        raise ExternalServiceError(f"{url}: {describe_error(error, url)}; is the service running?") from None
    return str(response.text)


def ask(url: str, body: Answer | None = None, token: str | None = None) -> Answer:
    """Return the JSON answer to a GET, or to a POST of a body. Raises ExternalServiceError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    method = "GET" if body is None else "POST"
    try:
        response = requests.request(method, url, json=body, headers=headers, timeout=TIMEOUT)
        answer: Answer = response.json()
    except requests.RequestException as error:
        raise ExternalServiceError(f"{url}: {describe_error(error, url)}; is the service running?") from None
    if not response.ok:
        raise ExternalServiceError(f"{url}: {response.status_code} {answer.get('detail')}")
    return answer


def ask_all(url: str) -> dict[str, str]:
    """Send every model an example request; return a line about each."""
    listed = ask(f"{url}/v1/models")
    answers = {name: f"not served: {reason}" for name, reason in listed["absent"].items()}
    if POLICY in answers:
        answers[POLICY] = f"no champion, so it explores evenly and evidence accrues: {request_decision(url, [])}"
    for served in listed["models"]:
        name = served["model"]["name"]
        example = MODELS[name].example_request
        answers[name] = resolve_name(example)(url, served["categories"]) if example else "served"
    return answers


def request_pictures(url: str, categories: list[str]) -> str:
    """Draw four pictures of the first category."""
    pictures = _request_pngs(url, categories[0], 4)
    size = sum(len(base64.b64decode(picture)) for picture in pictures)
    return f"drew {len(pictures)} pictures of {categories[0]!r}, {size} bytes of PNG"


def request_category(url: str, categories: list[str]) -> str:
    """Read a drawn picture, or a grey square."""
    try:
        what, picture = f"a drawn {categories[0]!r}", _request_pngs(url, categories[0], 1)[0]
    except ExternalServiceError:
        what, picture = "a grey square", GREY_PIXEL
    item = ask(url + READ, {"pictures": [picture], "nearest": 1})["items"][0]
    share = item["probabilities"][item["category"]]
    return f"read {what} as {item['category']!r} ({share:.0%}), most like creative {item['nearest'][0]['creative_id']}"


def _request_pngs(url: str, category: str, n: int) -> list[str]:
    return ask(url + GENERATE, {"category": category, "n": n, "seed": 1})["pictures"]  # type: ignore[no-any-return]


def request_stylized_picture(url: str, categories: list[str]) -> str:
    """Paint a grey square in its own style."""
    picture = ask(url + STYLIZE, {"content": GREY_PIXEL, "style": GREY_PIXEL, "size": 64})["picture"]
    return f"painted a grey square in its own style, {len(base64.b64decode(picture))} bytes of PNG"


def request_lines(url: str, categories: list[str]) -> str:
    """Write three lines."""
    category = categories[0] if categories else None
    lines = ask(url + WRITE, {"category": category, "n": 3, "seed": 1})["lines"]
    return f"wrote {' · '.join(lines)}"


def request_melody(url: str, categories: list[str]) -> str:
    """Compose four bars."""
    melody = ask(url + COMPOSE, {"bars": 4, "seed": 1})
    notes = sum(map(len, melody["bars"]))
    return f"composed {notes} notes in 4 bars of {melody['metre']}, {melody['key']}"


def request_segment(url: str, categories: list[str]) -> str:
    """Find the segment of one buyer."""
    row = {"recency_days": 10, "frequency": 8, "monetary": 300, "tenure_days": 400, "interpurchase_days": 56}
    item = ask(url + SEGMENT, {"rows": [row]})["items"][0]
    return f"a buyer of 8 orders, the last 10 days ago, is in {item['segment']}"


def request_recommendation(url: str, categories: list[str]) -> str:
    """Recommend three items to a new user."""
    items = ask(url + RECOMMEND, {"recent": [], "n": 3})["items"]
    return f"recommends {', '.join(items)} to a new user"


def request_decision(url: str, categories: list[str]) -> str:
    """Choose among creatives of the first category, or two new ones."""
    among = {"category": categories[0]} if categories else {"candidates": ["a new creative", "another"]}
    chosen = ask(url + DECIDE, {"placement": "demo", "n": 1, **among})["creatives"][0]
    what = repr(categories[0]) if categories else "two new ones"
    return f"chose {chosen['creative_id']} of {what} with probability {chosen['probability']:.2g}"


def _wait_until_ready(process: "subprocess.Popen[str]", log: Path | None) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.match(r"ready on (\S+);", line):
            return match.group(1)
    raise ExternalServiceError(
        f"adloom serve ended before it was ready; {f'{log} says' if log else 'the lines above say'} why"
    )
