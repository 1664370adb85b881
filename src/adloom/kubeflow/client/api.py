"""Requests to the API v2beta1 of Kubeflow Pipelines. Every fault is one line, within 30 seconds, or 73 for a start."""

import json
import logging
import re
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from adloom.config.settings import Settings
from adloom.connection_errors import describe_error
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

RETRIES = 2  # after the first attempt
MAX_MESSAGE = 300  # characters kept of the server's message
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # Kubeflow puts a pod's token here and renews it
ENDPOINT_ADVICE = (
    "set ADLOOM_KFP_ENDPOINT to the address of Kubeflow Pipelines, such as http://ml-pipeline.kubeflow:8888"
)
TOKEN_ADVICE = "set ADLOOM_KFP_TOKEN, or ADLOOM_KFP_TOKEN_FILE to a file with a valid token"  # noqa: S105 - no token
HANGING_START = (
    "it may be waiting for its database, or for MLflow if its MLflow plugin is on (docs/how-to/kubeflow.md); "
    "`adloom runs` shows whether the run was started"
)
ENDPOINT = re.compile(r"^https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d+)?(/[\w./~-]*)?$")
REFUSALS: dict[int, tuple[type[AdloomError], str]] = {
    400: (ExternalServiceError, "the request is refused"),
    401: (AuthenticationError, f"the token is refused; {TOKEN_ADVICE}"),
    403: (PermissionDeniedError, "the token may not do this; ask for a role that may, or check ADLOOM_KFP_NAMESPACE"),
    429: (ExternalServiceError, "too many requests; try again in a minute"),
}


class ApiError(ConfigError):
    """The server is not Kubeflow Pipelines 2 or later."""


class NamespaceError(ConfigError):
    """The server has several users, and no namespace is configured."""


@dataclass(frozen=True)
class Health:
    """The server's description of itself."""

    multi_user: bool
    version: str  # such as 2.17.0, or "unknown" if the server was built without one


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a server. With RETRIES, every fault except that of a start ends within 30 seconds."""

    connect: float = 3
    read: float = 8
    start: float = 70  # for the response to POST runs; the server's MLflow plugin may wait 60 seconds for MLflow
    backoff: float = 1  # before the last attempt
    retry_after: int = 2  # at most before each attempt, if the server asks for a pause


class KfpApi:
    """Requests to a server. GET and DELETE are retried; POST is retried only if the server cannot have received it."""

    def __init__(self, settings: Settings, timeouts: Timeouts) -> None:
        self._settings = settings
        self._timeouts = timeouts

    @cached_property
    def endpoint(self) -> str:
        """The server's address. Raises ConfigError if it is missing or malformed."""
        endpoint = (self._settings.kfp_endpoint or "").rstrip("/")
        if not endpoint:
            raise ConfigError(f"no server of Kubeflow Pipelines is configured; {ENDPOINT_ADVICE}")
        if not ENDPOINT.match(endpoint):
            redacted = re.sub(r"//[^/]*@", "//…@", endpoint)
            raise ConfigError(
                f"ADLOOM_KFP_ENDPOINT={redacted}: not an address, or one with a user or page; {ENDPOINT_ADVICE}"
            )
        return endpoint

    @cached_property
    def namespace(self) -> str | None:
        """The namespace to work in. Raises NamespaceError if the server needs one and none is configured."""
        if self.health.multi_user and not self._settings.kfp_namespace:
            raise NamespaceError(f"{self}: serves many users; set ADLOOM_KFP_NAMESPACE to your namespace")
        return self._settings.kfp_namespace

    @cached_property
    def health(self) -> Health:
        """The server's kind and version; the version is in the response, but not in the API's model of it."""
        try:
            response = self.call("GET", "healthz", "object")
        except NotFoundError:
            raise ApiError(f"{self}: has no API v2beta1, which KFP 2 and later have; {ENDPOINT_ADVICE}") from None
        return Health(response.get("multi_user") is True, str(response.get("tag_name", "unknown")))

    @cached_property
    def models(self) -> Any:
        """The package with the client and the models of every request and response."""
        try:
            import kfp_server_api
        except ModuleNotFoundError:
            raise ConfigError("kfp-server-api is not installed; `pip install 'adloom[train]'` brings it") from None
        return kfp_server_api

    def call(
        self,
        method: str,
        path: str,
        response_type: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        file: tuple[str, bytes, str] | None = None,
    ) -> Any:
        """
        Return the response as a model of this type; `body` is a model, `file` the name, content and type of an upload.

        Raises NotFoundError, ConfigError if the environment is wrong, else ExternalServiceError.
        """
        from urllib3.exceptions import HTTPError

        seconds = self._timeouts.start if (method, path) == ("POST", "runs") else self._timeouts.read
        try:
            content = self._client.call_api(
                f"/apis/v2beta1/{path}",
                method,
                query_params={name: value for name, value in (query or {}).items() if value is not None},
                header_params={"Content-Type": "multipart/form-data"} if file else {},
                body=body,
                post_params=[("uploadfile", file)] if file else None,
                response_type="object",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
                _request_timeout=(self._timeouts.connect, seconds),
            )
            if isinstance(content, dict):
                return self._client.deserialize(self._client.last_response, response_type)
        except HTTPError as error:
            raise self._connection_error(error, method, seconds) from None
        except self.models.ApiException as error:
            raise self._refusal(error.status, error.body or "", error.headers or {}) from None
        except (ValueError, TypeError, LookupError, self.models.OpenApiException):
            pass
        raise ConfigError(f"{self}: its answer is not one of this API; {ENDPOINT_ADVICE}")

    def __str__(self) -> str:
        return f"Kubeflow Pipelines at {self.endpoint}"

    @cached_property
    def _client(self) -> Any:
        import urllib3

        configuration = self.models.Configuration(host=self.endpoint)
        configuration.retries = urllib3.Retry(
            total=RETRIES,
            backoff_factor=self._timeouts.backoff / 2,
            allowed_methods={"GET", "DELETE"},
            status_forcelist={429, 500, 502, 503, 504},
            raise_on_status=False,
            redirect=0,  # a redirect leads to a page for people, such as a sign-in
            raise_on_redirect=False,
            retry_after_max=self._timeouts.retry_after,
        )
        configuration.ssl_ca_cert = self._ca_file()
        if self._settings.kfp_token or self._token_file:
            configuration.api_key = {"authorization": ""}
            configuration.api_key_prefix = {"authorization": "Bearer"}
            configuration.refresh_api_key_hook = lambda each: each.api_key.update(authorization=self._token())
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # no warning for each attempt
        return self.models.ApiClient(configuration)

    def _ca_file(self) -> str | None:
        """Return the file of trusted certificates: the configured one or this machine's, None for certifi's."""
        path = self._settings.kfp_ca
        if path is None:
            return ssl.get_default_verify_paths().cafile
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            reason = error.strerror or "not certificates"
            raise ConfigError(f"ADLOOM_KFP_CA={path}: {reason}; expected certificates in PEM") from None
        return str(path)

    @cached_property
    def _token_file(self) -> Path | None:
        return self._settings.kfp_token_file or (POD_TOKEN if POD_TOKEN.is_file() else None)

    def _token(self) -> str:
        """Return the token; a file is read for each request, because it is renewed while the process runs."""
        if self._settings.kfp_token:
            return _validate_token(self._settings.kfp_token.get_secret_value().strip(), "ADLOOM_KFP_TOKEN")
        assert self._token_file is not None
        try:
            return _validate_token(files.read_secret_text(self._token_file)[0].strip(), str(self._token_file))
        except (OSError, ValueError) as error:
            reason = files.failure_reason(error)
            raise ConfigError(f"ADLOOM_KFP_TOKEN_FILE={self._token_file}: {reason}; {TOKEN_ADVICE}") from None

    def _connection_error(self, error: Exception, method: str, seconds: float) -> AdloomError:
        from urllib3.exceptions import MaxRetryError, ReadTimeoutError, SSLError

        cause = (isinstance(error, MaxRetryError) and error.reason) or error
        if isinstance(cause, SSLError):
            advice = "set ADLOOM_KFP_CA to a file with the certificate of its authority"
            return ConfigError(f"{self}: its certificate is not trusted: {_shorten(str(cause))}; {advice}")
        if method == "POST" and isinstance(cause, ReadTimeoutError):
            return UnavailableError(f"{self}: took the request and did not answer in {seconds} s; {HANGING_START}")
        return UnavailableError(
            f"{self}: no answer: {_shorten(describe_error(cause))}; is it running? Else {ENDPOINT_ADVICE}"
        )

    def _refusal(self, status: int, body: str, headers: Any) -> AdloomError:
        message = _read_message(body)
        if status in REFUSALS:
            error, advice = REFUSALS[status]
            return error(f"{self}: {advice} ({status}: {message})")
        if 300 <= status < 400:
            target = _shorten(headers.get("location", "another address").partition("?")[0])
            return ConfigError(
                f"{self}: leads to {target}; set ADLOOM_KFP_ENDPOINT to that, or if it is a sign-in, {TOKEN_ADVICE}"
            )
        if status == 404:
            not_found = NotFoundError(f"{self}: nothing there ({message})")
            return not_found if message else ConfigError(f"{self}: no API; {ENDPOINT_ADVICE}")
        return ExternalServiceError(f"{self}: failed ({status}: {message or 'no message'}); see the server's log")


def _validate_token(token: str, source: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{source}: not a token: it is empty or has characters that no token has; {TOKEN_ADVICE}")
    return token


def _read_message(body: str) -> str:
    """Return the message of a google.rpc.Status or of an upload's error; "" for any other body."""
    try:
        status = json.loads(body)
        return _shorten(str(status.get("message") or status.get("error_message") or status.get("error") or status))
    except (ValueError, AttributeError):
        return ""


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
