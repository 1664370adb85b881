"""One request to Kubeflow Pipelines' API v2beta1. Every fault is one line, within 30 seconds, or 73 for a start."""

import json
import logging
import re
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from adloom.config.settings import Settings
from adloom.connection_errors import describe
from adloom.errors import (
    AdloomError,
    AuthenticationError,
    ConfigError,
    ExternalServiceError,
    PermissionDeniedError,
    UnavailableError,
)
from adloom.kubeflow.client.base import NotFoundError
from adloom.storage import files

RETRIES = 2  # after the first try
SAID = 300  # characters kept of what the server said
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # where Kubeflow puts a pod's token, and renews it
ADDRESS = "set ADLOOM_KFP_ENDPOINT to the address of Kubeflow Pipelines, such as http://ml-pipeline.kubeflow:8888"
TOKEN = "set ADLOOM_KFP_TOKEN, or ADLOOM_KFP_TOKEN_FILE to a file that holds a valid one"  # noqa: S105 - advice
HANGS = (
    "it may be waiting for its database, or for MLflow if its MLflow plugin is on (docs/how-to/kubeflow.md); "
    "`adloom runs` shows whether the run was started"
)
PLAIN = re.compile(r"^https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d+)?(/[\w./~-]*)?$")
REFUSALS: dict[int, tuple[type[AdloomError], str]] = {
    400: (ExternalServiceError, "the request is refused"),
    401: (AuthenticationError, f"the token is refused; {TOKEN}"),
    403: (PermissionDeniedError, "the token may not do this; ask for a role that may, or check ADLOOM_KFP_NAMESPACE"),
    429: (ExternalServiceError, "too many requests; try again in a minute"),
}


class ApiError(ConfigError):
    """The server is not of Kubeflow Pipelines 2."""


class NamespaceError(ConfigError):
    """The server has many users, and no namespace is named."""


@dataclass(frozen=True)
class Health:
    """What a server says of itself."""

    multi_user: bool
    version: str  # such as 2.17.0; what it was built without, the server calls unknown


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds; with RETRIES every fault but that of a start ends within 30."""

    connection: float = 3
    answer: float = 8
    start: float = 70  # for the answer to POST runs, in which the server's MLflow plugin may wait 60 seconds for MLflow
    pause: float = 1  # before the last try
    asked: int = 2  # at most, before each try, when the server asks for a pause


class KfpApi:
    """Requests to a server. A GET or DELETE is tried again; a POST only when the server cannot have seen it."""

    def __init__(self, settings: Settings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience

    @cached_property
    def endpoint(self) -> str:
        """The server's address. Raises ConfigError when it is none."""
        given = (self._settings.kfp_endpoint or "").rstrip("/")
        if not given:
            raise ConfigError(f"no server of Kubeflow Pipelines is named; {ADDRESS}")
        if not PLAIN.match(given):
            shown = re.sub(r"//[^/]*@", "//…@", given)  # without a password
            raise ConfigError(f"ADLOOM_KFP_ENDPOINT={shown}: not an address, or one with a user or page; {ADDRESS}")
        return given

    @cached_property
    def namespace(self) -> str | None:
        """The namespace to work in, which a server of many users must be told; asks the server which kind it is."""
        if self.health.multi_user and not self._settings.kfp_namespace:
            raise NamespaceError(f"{self}: serves many users; set ADLOOM_KFP_NAMESPACE to your namespace")
        return self._settings.kfp_namespace

    @cached_property
    def health(self) -> Health:
        """What the server says of itself; its version is in the answer, though not in the model of it."""
        try:
            said = self.ask("GET", "healthz", "object")
        except NotFoundError:
            raise ApiError(f"{self}: has no API v2beta1, which KFP 2 and later have; {ADDRESS}") from None
        return Health(said.get("multi_user") is True, str(said.get("tag_name", "unknown")))

    @cached_property
    def models(self) -> Any:
        """The package with the models of every question and answer."""
        try:
            import kfp_server_api
        except ModuleNotFoundError:
            raise ConfigError("kfp-server-api is not installed; `pip install 'adloom[train]'` brings it") from None
        return kfp_server_api

    def ask(self, method: str, path: str, answer: str, query: dict[str, Any] | None = None, **content: Any) -> Any:
        """
        Return the answer as the model of this name; `content` is a model as `body`, or `fields` of a form.

        Raises NotFoundError, ConfigError when the environment is wrong, else ExternalServiceError.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.endpoint}/apis/v2beta1/{path}" + (f"?{urlencode(given)}" if given else "")
        response = self._send(method, url, content)
        if not 200 <= response.status < 300:
            raise self._refusal(response)
        try:
            if isinstance(json.loads(response.data), dict):
                return self._codec.deserialize(response, answer)
        except (ValueError, TypeError, self.models.OpenApiException):
            pass
        raise ConfigError(f"{self}: its answer is not one of this API; {ADDRESS}")

    def __str__(self) -> str:
        return f"Kubeflow Pipelines at {self.endpoint}"

    @cached_property
    def _codec(self) -> Any:
        return self.models.ApiClient(self.models.Configuration())

    @cached_property
    def _pool(self) -> Any:
        import urllib3

        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else it warns of each try
        retries = urllib3.Retry(
            total=RETRIES,
            backoff_factor=self._patience.pause / 2,
            allowed_methods={"GET", "DELETE"},
            status_forcelist={429, 500, 502, 503, 504},
            raise_on_status=False,
            redirect=0,  # a redirect leads to a page for people, such as a sign-in
            raise_on_redirect=False,
            retry_after_max=self._patience.asked,
        )
        return urllib3.PoolManager(retries=retries, ssl_context=self._trust())

    def _trust(self) -> ssl.SSLContext:
        """Return whom to trust: the authorities of this machine, or those of a file."""
        path = self._settings.kfp_ca
        try:
            return ssl.create_default_context(cafile=path)
        except OSError as error:
            why = error.strerror or "not certificates"
            raise ConfigError(f"ADLOOM_KFP_CA={path}: {why}; expected certificates in PEM") from None

    def _send(self, method: str, url: str, content: dict[str, Any]) -> Any:
        from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError, SSLError

        given = dict(content)
        if "body" in given:
            given["json"] = self._codec.sanitize_for_serialization(given.pop("body"))
        try:
            return self._pool.request(method, url, headers=self._headers(), timeout=self._timeout(method, url), **given)
        except HTTPError as error:
            cause = (isinstance(error, MaxRetryError) and error.reason) or error
            if isinstance(cause, SSLError):
                advice = "set ADLOOM_KFP_CA to a file with the certificate of its authority"
                raise ConfigError(f"{self}: its certificate is not trusted: {_said(str(cause))}; {advice}") from None
            if method == "POST" and isinstance(cause, ReadTimeoutError):
                seconds = self._timeout(method, url).read_timeout
                raise UnavailableError(f"{self}: took the request and did not answer in {seconds} s; {HANGS}") from None
            raise UnavailableError(
                f"{self}: no answer: {_said(describe(cause))}; is it running? Else {ADDRESS}"
            ) from None

    def _timeout(self, method: str, url: str) -> Any:
        import urllib3

        starts = method == "POST" and url.endswith("/runs")
        answer = self._patience.start if starts else self._patience.answer
        return urllib3.Timeout(connect=self._patience.connection, read=answer)

    def _headers(self) -> dict[str, str]:
        token = self._token()
        return {"authorization": f"Bearer {token}"} if token else {}

    def _token(self) -> str | None:
        """Return the token; a file is read at each request, since it is renewed while we wait."""
        path = self._settings.kfp_token_file or (POD_TOKEN if POD_TOKEN.is_file() else None)
        if self._settings.kfp_token:
            return _checked(self._settings.kfp_token.get_secret_value().strip(), "ADLOOM_KFP_TOKEN")
        if path is None:
            return None
        try:
            return _checked(files.read_secret_text(path)[0].strip(), str(path))
        except (OSError, ValueError) as error:
            raise ConfigError(f"ADLOOM_KFP_TOKEN_FILE={path}: {files.failure_reason(error)}; {TOKEN}") from None

    def _refusal(self, response: Any) -> AdloomError:
        said, status = _message(response.data), response.status
        if status in REFUSALS:
            kind, advice = REFUSALS[status]
            return kind(f"{self}: {advice} ({status}: {said})")
        if 300 <= status < 400:
            to = _said(response.headers.get("location", "another address").partition("?")[0])
            return ConfigError(
                f"{self}: leads to {to}; set ADLOOM_KFP_ENDPOINT to that, or if it is a sign-in, {TOKEN}"
            )
        if status == 404:
            return (
                NotFoundError(f"{self}: nothing there ({said})") if said else ConfigError(f"{self}: no API; {ADDRESS}")
            )
        return ExternalServiceError(f"{self}: failed ({status}: {said or 'without a word'}); its own log says why")


def _checked(token: str, where: str) -> str | None:
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"{where}: not a token: it holds a blank or a letter that no token has; {TOKEN}")
    return token or None


def _message(data: bytes) -> str:
    """Return what the server said, from a google.rpc.Status or an error of an upload; empty when it is neither."""
    try:
        status = json.loads(data)
        return _said(str(status.get("message") or status.get("error_message") or status.get("error") or status))
    except (ValueError, AttributeError):
        return ""


def _said(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SAID else line[: SAID - 1] + "…"
