"""A stand-in for Kubeflow Pipelines: the v2beta1 calls that adloom makes, in memory, over HTTP, on a thread.

Requests and answers are kfp-server-api's models; unknown fields are errors. As on the real server, times have whole
seconds, an active run has finished_at in 1970, answers omit empty lists, filters are unescaped twice, names are unique,
parameters without a default are required, the cron of a schedule is not checked, and an error is a google.rpc.Status,
except for uploads.
"""

import base64
import json
import re
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import kfp_server_api as models
import yaml
from tests.support import artifact_inputs
from tests.support.local_http import serve

PIPELINE = """{root: {inputDefinitions: {parameters: {project: {}, sources: {}, reason: {isOptional: true}}}}}
---
{platforms: {}}
"""  # the parts of a pipeline that the server reads
ARGUMENTS = {"project": "shop", "sources": ""}
CODEC = models.ApiClient(models.Configuration())
MAX_PAGE = 200
ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
NAMESPACED = ("experiments", "pipelines")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # the end of a run that is still active
SORT_KEYS = {"name", "display_name", "created_at", "id"}


@dataclass(frozen=True)
class Answer:
    """A canned answer, which replaces the call."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class AuthenticationError(Exception):
    """An error, returned as a google.rpc.Status."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def invalid_error(message: str) -> AuthenticationError:
    return AuthenticationError(400, 3, message)


def not_found_error(message: str) -> AuthenticationError:
    return AuthenticationError(404, 5, message)


@dataclass
class StandIn:
    """The server's state, which tests control."""

    url: str = ""
    token: str | None = None
    multi_user: bool = False
    version: str = "2.17.0"
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path of every request
    authorized: set[tuple[str, str]] = field(default_factory=set)  # resource and verb, as KFP checks them
    answers: deque[Answer] = field(default_factory=deque)  # returned first, before any call
    silence: threading.Event | None = None  # no answer until it is set
    after: Callable[[str, str], None] = lambda _method, _path: None  # called after each request that changes state
    resources: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {kind: {} for kind in ("experiments", "pipelines", "versions", "runs", "recurringruns")}
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Return every request that is not a GET."""
        return [(method, path) for method, path in self.requests if method != "GET"]

    def advance(
        self, run_id: str, state: str, *, message: str = "", why: str = "", driver: str = "", **tasks: str
    ) -> None:
        """
        Set the state of a run and its tasks (dashes as underscores); each task has a driver.

        `driver` names the task that waits because its driver failed.
        """
        run = self.resources["runs"][run_id]
        _enter(run, state)
        if state in ENDED:
            run.finished_at = now()
        run.error = models.GoogleRpcStatus(code=2, message=message) if message else None
        details = [self._detail(run_id, name.replace("_", "-"), of, why) for name, of in tasks.items()]
        drivers = [self._detail(run_id, f"{task.display_name}-driver", "SUCCEEDED", "") for task in details]
        if driver:
            nodes = {driver: "PENDING", f"{driver}-driver": "FAILED", f"{driver}-driver(0)": "FAILED"}
            details += [self._detail(run_id, name, of, "") for name, of in nodes.items()]
        root = self._detail(run_id, "root", state, "")
        run.run_details = models.V2beta1RunDetails(task_details=[root, *drivers, *details])

    def fire(self, schedule_id: str) -> str:
        """Create a run from a schedule, without its description as the controller does; return its id."""
        recurring = self.resources["recurringruns"][schedule_id]
        run = models.V2beta1Run(
            run_id=str(uuid.uuid4()),
            display_name=f"{recurring.display_name}-1",
            experiment_id=recurring.experiment_id,
            pipeline_version_reference=recurring.pipeline_version_reference,
            runtime_config=recurring.runtime_config,
            recurring_run_id=schedule_id,
        )
        _begin(run, "RUNNING")
        self.resources["runs"][run.run_id] = run
        return str(run.run_id)

    def _detail(self, run_id: str, name: str, state: str, why: str) -> Any:
        failed = models.GoogleRpcStatus(code=2, message=why) if why and state == "FAILED" else None
        return models.V2beta1PipelineTaskDetail(
            run_id=run_id, task_id=str(uuid.uuid4()), display_name=name, state=state, error=failed, create_time=now()
        )

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        """Handle a request."""
        path = urlsplit(target).path
        self.requests.append((method, path))
        if self.silence is not None:
            self.silence.wait(30)
        if self.answers:
            return self.answers.popleft()
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return _status(401, 16, "Unauthenticated: the token is not valid")
        try:
            with self.lock:
                result = self._route(method, path, dict(parse_qsl(urlsplit(target).query)), headers, body)
        except AuthenticationError as refused:
            if path.endswith("upload_version"):
                return Answer(refused.status, json.dumps({"error_message": str(refused), "error_details": "…"}))
            return _status(refused.status, refused.code, str(refused))
        if method != "GET":
            self.after(method, path)
        text = json.dumps(CODEC.sanitize_for_serialization(result))
        return Answer(200, text.replace('+00:00"', 'Z"'))

    def _route(self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes) -> Any:
        for verb, pattern, handler in ROUTES:
            match = re.fullmatch(f"/apis/v2beta1/{pattern}", path)
            if match and verb == method:
                self.authorized.add(_authorization(method, path))
                return handler(self, *match.groups(), query=query, headers=headers, body=body)
        raise not_found_error("Not Found")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _authorization(method: str, path: str) -> tuple[str, str]:
    """Return the resource and verb that a multi-user server checks with Kubernetes."""
    first, *rest = path.removeprefix("/apis/v2beta1/").split("/")
    resource = {"recurringruns": "jobs"}.get(first, first)
    own_verb = path.partition(":")[2]
    one = rest and rest[-1] != "versions"
    return resource, own_verb or {"POST": "create", "DELETE": "delete"}.get(method, "get" if one else "list")


def _begin(run: Any, state: str) -> None:
    """Set the fields of a new run."""
    run.created_at = run.scheduled_at = now()
    run.finished_at, run.service_account = NEVER, "pipeline-runner"
    run.state_history = []
    run.plugins_output = {"mlflow": {"state": "PLUGIN_FAILED"}}
    _enter(run, state)


def _enter(run: Any, state: str) -> None:
    run.state = state
    run.state_history.append(models.V2beta1RuntimeStatus(update_time=now(), state=state))


def _status(status: int, code: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": message, "code": code, "message": message, "details": []}))


def parse_model(body: bytes, kind: str) -> Any:
    """Parse a request's body as a model; reject unknown fields."""
    model = CODEC.deserialize(SimpleNamespace(data=body), kind)
    if CODEC.sanitize_for_serialization(model) != json.loads(body):
        raise invalid_error(f"not a {kind}: {body!r}")
    return model


def get_health(server: StandIn, **_: Any) -> Any:
    """Return the real server's answer, which has more fields than its model."""
    build = {"commit_sha": "c0ffee", "tag_name": server.version}
    return {**build, "multi_user": server.multi_user, "pipeline_store": "database"}


def list_items(server: StandIn, kind: str, *parents: str, query: dict[str, str], **_: Any) -> Any:
    """Return a page of a list; a page token is valid only for its own list."""
    if server.multi_user and kind in NAMESPACED and "namespace" not in query:
        raise invalid_error("a namespace is needed in multi-user mode")
    predicates = _predicates(query)
    items = [
        item
        for item in server.resources[kind].values()
        if _matches_query(item, query, parents) and _matches_filter(item, predicates)
    ]
    by, *direction = query.get("sort_by", "created_at").split()
    if by not in SORT_KEYS or direction not in ([], ["asc"], ["desc"]):
        raise invalid_error(f"Invalid sorting field: {by}")
    items.sort(key=lambda item: getattr(item, by), reverse=direction == ["desc"])
    criteria = {key: value for key, value in query.items() if key not in {"page_token", "page_size"}}
    begin = 0
    if token := query.get("page_token"):
        try:
            begin, of_list = json.loads(base64.b64decode(token))
        except ValueError:
            raise invalid_error("Invalid package token") from None
        if of_list != criteria:
            raise invalid_error("page token does not match the supplied sort by and/or filtering criteria")
    end = begin + min(int(query.get("page_size", 20)), MAX_PAGE)
    more = base64.b64encode(json.dumps([end, criteria]).encode()).decode() if end < len(items) else None
    answer, field_name = LISTS[kind]
    return answer(**{field_name: items[begin:end] or None, "total_size": len(items) or None, "next_page_token": more})


def _matches_query(item: Any, query: dict[str, str], parents: tuple[str, ...]) -> bool:
    places = {name: query[name] for name in ("experiment_id", "namespace") if name in query}
    return all(getattr(item, name) == value for name, value in places.items()) and (
        not parents or item.pipeline_id == parents[0]
    )


def _predicates(query: dict[str, str]) -> list[Any]:
    """Return a filter's predicates; the server unescapes it again, strictly."""
    text = query.get("filter", '{"predicates": []}')
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise invalid_error(f"Invalid filter: {text}")
    predicates = [
        parse_model(json.dumps(p).encode(), "V2beta1Predicate") for p in json.loads(unquote_plus(text))["predicates"]
    ]
    if any(predicate.operation != "EQUALS" for predicate in predicates):
        raise invalid_error("only the operation EQUALS is supported")
    return predicates


def _matches_filter(item: Any, predicates: list[Any]) -> bool:
    return all(getattr(item, predicate.key) == predicate.string_value for predicate in predicates)


def get_item(server: StandIn, kind: str, item_id: str, **_: Any) -> Any:
    if item_id not in server.resources[kind]:
        raise not_found_error(f"{kind} {item_id} not found")
    return server.resources[kind][item_id]


def get_version(server: StandIn, _: str, version_id: str, **__: Any) -> Any:
    return get_item(server, "versions", version_id)


def create_item(server: StandIn, kind: str, *, body: bytes, **_: Any) -> Any:
    """Create an experiment or a pipeline; names are unique."""
    item = parse_model(body, {"experiments": "V2beta1Experiment", "pipelines": "V2beta1Pipeline"}[kind])
    if any(
        (other.display_name, other.namespace) == (item.display_name, item.namespace)
        for other in server.resources[kind].values()
    ):
        raise AuthenticationError(409, 6, f"Already exist error: {item.display_name}")
    if server.multi_user and not item.namespace:
        raise invalid_error("a namespace is needed in multi-user mode")
    if kind == "experiments":
        item.storage_state, item.last_run_created_at = "AVAILABLE", NEVER
    return _store(server, kind, item, {"experiments": "experiment_id", "pipelines": "pipeline_id"}[kind])


def upload_version(server: StandIn, *, query: dict[str, str], headers: Any, body: bytes, **_: Any) -> Any:
    if query.get("pipelineid") not in server.resources["pipelines"]:
        raise invalid_error("Failed to create a pipeline version due to error reading namespace")
    form = message_from_bytes(b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    parts = [part for part in form.walk() if isinstance(part, Message) and part.get_filename()]
    if [part.get_param("name", header="content-disposition") for part in parts] != ["uploadfile"]:
        raise invalid_error("Failed to read pipeline from file")
    spec, platform = _documents(parts[0].get_payload(decode=True))
    if any(
        (v.pipeline_id, v.name) == (query["pipelineid"], query["name"]) for v in server.resources["versions"].values()
    ):
        raise AuthenticationError(409, 6, "Failed to create a pipeline version")
    item = models.V2beta1PipelineVersion(
        pipeline_id=query["pipelineid"],
        name=query["name"],
        display_name=query["display_name"],
        pipeline_spec={"pipeline_spec": spec, "platform_spec": platform},
    )
    return _store(server, "versions", item, "pipeline_version_id")


def _documents(text: Any) -> list[Any]:
    """Return the two documents of a compiled pipeline."""
    try:
        documents = list(yaml.safe_load_all(text))
        documents[0]["root"]["inputDefinitions"]["parameters"]
        documents[1]["platforms"]
    except (yaml.YAMLError, UnicodeError, LookupError, TypeError):
        raise invalid_error("Failed to create a pipeline version due to an invalid pipeline spec") from None
    return documents


def start_run(server: StandIn, *, body: bytes, **_: Any) -> Any:
    run = parse_model(body, "V2beta1Run")
    _check_ordered(server, run)
    _store(server, "runs", run, "run_id")
    _begin(run, "PENDING")
    return run


def create_schedule(server: StandIn, *, body: bytes, **_: Any) -> Any:
    recurring = parse_model(body, "V2beta1RecurringRun")
    _check_ordered(server, recurring)
    _store(server, "recurringruns", recurring, "recurring_run_id")
    recurring.updated_at, recurring.service_account = recurring.created_at, "pipeline-runner"
    recurring.status = f"{recurring.mode}D"
    return recurring


def _check_ordered(server: StandIn, item: Any) -> None:
    """Check the fields that runs and recurring runs share, and the parameters against the pipeline."""
    get_item(server, "experiments", item.experiment_id)
    if not item.display_name:
        raise AuthenticationError(500, 13, "Internal Server Error: The run name is empty. Please specify a valid name")
    spec = get_item(server, "versions", item.pipeline_version_reference.pipeline_version_id).pipeline_spec[
        "pipeline_spec"
    ]
    if twice := artifact_inputs.find_repeated(spec):  # the real server starts the run; then the task's driver fails
        raise invalid_error(f"Given event already exists: {twice[0]}")
    known, arguments = spec["root"]["inputDefinitions"]["parameters"], set(item.runtime_config.parameters)
    required = {name for name, parameter in known.items() if not parameter.get("isOptional")}
    if required - arguments or arguments - set(known):
        raise invalid_error(
            f"parameters: unknown {sorted(arguments - set(known))}, missing {sorted(required - arguments)}"
        )


def _store(server: StandIn, kind: str, item: Any, key: str) -> Any:
    setattr(item, key, str(uuid.uuid4()))
    item.created_at = now()
    server.resources[kind][getattr(item, key)] = item
    return item


def terminate_run(server: StandIn, run_id: str, **_: Any) -> Any:
    run = get_item(server, "runs", run_id)
    if run.state in ENDED:
        raise AuthenticationError(400, 9, f"Failed to terminate run {run_id} that has ended")
    if run.state == "CANCELING":
        raise invalid_error(f"Failed to terminate run {run_id}: Row not found")
    _enter(run, "CANCELING")
    return {}


def set_enabled(server: StandIn, schedule_id: str, how: str, **_: Any) -> Any:
    recurring = get_item(server, "recurringruns", schedule_id)
    recurring.mode, recurring.status = how.upper(), f"{how.upper()}D"
    return {}


def delete_item(server: StandIn, kind: str, item_id: str, **_: Any) -> Any:
    get_item(server, kind, item_id)
    del server.resources[kind][item_id]
    return {}


LISTS = {
    "experiments": (models.V2beta1ListExperimentsResponse, "experiments"),
    "pipelines": (models.V2beta1ListPipelinesResponse, "pipelines"),
    "versions": (models.V2beta1ListPipelineVersionsResponse, "pipeline_versions"),
    "runs": (models.V2beta1ListRunsResponse, "runs"),
    "recurringruns": (models.V2beta1ListRecurringRunsResponse, "recurring_runs"),
}
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "healthz", get_health),
    ("GET", "(experiments|pipelines|runs|recurringruns)", list_items),
    (
        "GET",
        "pipelines/([^/]+)/(versions)",
        lambda server, parent, kind, **rest: list_items(server, kind, parent, **rest),
    ),
    ("GET", "pipelines/([^/]+)/versions/([^/]+)", get_version),
    ("GET", "(runs)/([^/:]+)", get_item),
    ("POST", "(experiments|pipelines)", create_item),
    ("POST", "pipelines/upload_version", upload_version),
    ("POST", "runs", start_run),
    ("POST", "runs/([^/:]+):terminate", terminate_run),
    ("POST", "recurringruns", create_schedule),
    ("POST", "recurringruns/([^/:]+):(enable|disable)", set_enabled),
    ("DELETE", "(runs|recurringruns)/([^/:]+)", delete_item),
]


class Handler(BaseHTTPRequestHandler):
    """Pass requests to the stand-in and return its answers."""

    stand_in: StandIn

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        response = self.stand_in.answer(self.command, self.path, self.headers, body)
        self.send_response(response.status)
        for name, value in {"content-type": "application/json", **response.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body.encode())))
        with suppress(OSError):  # the client may have timed out
            self.end_headers()
            self.wfile.write(response.body.encode())

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """Yield a server on a free port."""
    stand_in = StandIn()
    handler = type("Bound", (Handler,), {"stand_in": stand_in})
    with serve(handler, tls) as stand_in.url:
        try:
            yield stand_in
        finally:
            if stand_in.silence is not None:
                stand_in.silence.set()
