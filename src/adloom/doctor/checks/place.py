"""Folders, files and addresses that params.yaml and the environment name, apart from S3, MLflow and Kubeflow."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from adloom.catalogue.entries import ENTRIES
from adloom.config.params import Params
from adloom.config.sources import LIBRARY
from adloom.connection_errors import PORTS, describe_error, find_proxy
from adloom.doctor.checks.machine import find_write_error
from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind
from adloom.storage import files
from adloom.storage.base import is_remote

SECONDS = 5  # to wait for an address


def check(context: DoctorContext) -> Iterator[Finding]:
    """Look for sources, write to folders, read files and connect to addresses."""
    findings = [
        *_check_sources(context),
        *(_check_folder(path, role) for role, path in _find_folders(context).items()),
        *_check_files(context),
        *_check_addresses(context),
    ]
    yield from findings or [Kind.PLACE_NOT_ASKED("no other folder, file or address is named")]


def _check_sources(context: DoctorContext) -> Iterator[Finding]:
    if context.valid_params is None or context.environment == "pod" or not context.can_train:
        return  # components read S3, and a service reads no sources
    for role, uri in _find_sources(context.valid_params).items():
        if uri in ENTRIES or uri == LIBRARY or is_remote(uri):
            continue
        if Path(uri).exists():
            yield Kind.PLACE_OK(f"{uri} ({role}): found")
        else:
            yield Kind.PLACE_MISSING(
                f"{uri} ({role}): no such file or folder in {Path.cwd()}", "put the data there, or correct the uri"
            )


def _find_sources(params: Params) -> dict[str, str]:
    sources = {key: source.uri for key, source in params.sources.items()}
    return sources | ({"prepare.erasure_list": params.prepare.erasure_list} if params.prepare.erasure_list else {})


def _find_folders(context: DoctorContext) -> dict[str, Path]:
    settings = context.settings
    uris = {"ADLOOM_LOG_URI": settings.log_uri, "ADLOOM_DVC_REMOTE": settings.dvc_remote}
    folders = {name: Path(uri) for name, uri in uris.items() if uri and "://" not in uri}
    return folders | ({"ADLOOM_BUNDLE_CACHE": settings.bundle_cache} if settings.bundle_cache else {})


def _check_folder(folder: Path, role: str) -> Finding:
    if why := find_write_error(folder):
        return Kind.PLACE_UNWRITABLE(f"{folder.absolute()} ({role}): {why}", "make it writable, or name another folder")
    return Kind.PLACE_OK(f"{folder.absolute()} ({role}): writable")


def _check_files(context: DoctorContext) -> Iterator[Finding]:
    settings = context.settings
    for name, path in {"ADLOOM_TOKENS_FILE": settings.tokens_file, "ADLOOM_KFP_CA": settings.kfp_ca}.items():
        if path is None:
            continue
        try:
            files.read_secret_text(path)
        except (OSError, ValueError) as error:
            advice = f"correct {name}, or make the file readable for this user"
            yield Kind.PLACE_UNREADABLE(f"{path} ({name}): {files.failure_reason(error)}", advice)
        else:
            yield Kind.PLACE_OK(f"{path} ({name}): read")


def _check_addresses(context: DoctorContext) -> Iterator[Finding]:
    settings = context.settings
    webhook = settings.webhook_url.get_secret_value() if settings.webhook_url else None
    for name, url in {"OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_endpoint, "ADLOOM_WEBHOOK_URL": webhook}.items():
        if url:
            yield _connect(name, url)


def _connect(name: str, url: str) -> Finding:
    """Connect to a URL's host, which alone is shown: a webhook's path is secret."""
    try:
        parts = urlsplit(url)
        address = parts.hostname, parts.port or PORTS[parts.scheme]
        if proxy := find_proxy(url):
            return Kind.PLACE_OK(f"{parts.hostname} ({name}): not tried, behind the proxy {proxy}")
        socket.create_connection(address, SECONDS).close()
    except (KeyError, ValueError):
        return Kind.PLACE_NO_ANSWER(f"{name}: not an http address", f"correct {name}")
    except OSError as error:
        advice = f"check {name}, DNS and network policies"
        return Kind.PLACE_NO_ANSWER(f"{parts.hostname} ({name}): no answer: {describe_error(error)}", advice)
    return Kind.PLACE_OK(f"{parts.hostname} ({name}): answers")
