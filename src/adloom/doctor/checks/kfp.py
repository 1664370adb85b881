"""Kubeflow Pipelines: whether it answers, is new enough, and permits access."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind
from adloom.errors import AdloomError, AuthenticationError, ConfigError, PermissionDeniedError, UnavailableError
from adloom.kubeflow.client.api import ApiError, Health, KfpApi, NamespaceError, Timeouts
from adloom.kubeflow.client.http import LISTS
from adloom.kubeflow.run_namespace import RunNamespace, open_run_namespace

QUICK = Timeouts(connect=2, read=4, backoff=0.5, retry_after=0)  # three tries in 15 seconds
NEEDED = (2, 14)  # older ones do not pass a run's outcome to its exit handler
RECENT = timedelta(minutes=30)
LISTED = ("pipelines", "experiments", "runs")
FAULTS: dict[type[AdloomError], Kind] = {  # the first that fits
    UnavailableError: Kind.KFP_NO_ANSWER,
    AuthenticationError: Kind.KFP_REFUSED,
    PermissionDeniedError: Kind.KFP_DENIED,
    NamespaceError: Kind.KFP_NAMESPACE,
    ApiError: Kind.KFP_OLD,
    ConfigError: Kind.KFP_ADDRESS,
}


def check(context: DoctorContext) -> Iterator[Finding]:
    """Request the server's version and the lists that `adloom submit` reads."""
    if not context.settings.kfp_endpoint:
        yield Kind.KFP_NOT_ASKED("ADLOOM_KFP_ENDPOINT is not set")
        return
    if not is_installed("kfp_server_api"):
        yield Kind.KFP_NOT_ASKED("its client is not installed here; pip install 'adloom[train]' brings it")
        return
    api = KfpApi(context.settings, QUICK)
    try:
        yield compare_version(api.health, str(api))
        for kind in LISTED:
            api.call("GET", kind, LISTS[kind][0], {"namespace": api.namespace, "page_size": 1})
    except AdloomError as error:
        yield next((kind for type_, kind in FAULTS.items() if isinstance(error, type_)), Kind.KFP_FAILED).from_error(
            error
        )
    else:
        within = f" of namespace {api.namespace}" if api.namespace else ""
        yield Kind.KFP_OK(f"{', '.join(LISTED)}{within} can be listed")
        yield from _check_pods(open_run_namespace(context.settings))


def _check_pods(namespace: RunNamespace | None) -> Iterator[Finding]:
    """Check whether the runs' namespace refuses pods, or has done so recently."""
    if namespace and (problem := namespace.find_restriction()):
        yield Kind.KFP_RESTRICTED.from_error(AdloomError(problem))
    if namespace and (problem := namespace.find_refusal(datetime.now(UTC) - RECENT)):
        yield Kind.KFP_PODS_REFUSED.from_error(AdloomError(problem))


def compare_version(health: Health, server: str) -> Finding:
    """Compare a server's version with the required one."""
    needed = ".".join(map(str, NEEDED))
    match = re.match(r"v?(\d+)\.(\d+)", health.version)
    if match is None:
        return Kind.KFP_VERSION(f"{server}: reports no version ({health.version})", f"expected {needed} or later")
    if (int(match[1]), int(match[2])) < NEEDED:
        return Kind.KFP_OLD(f"{server}: version {health.version}, expected {needed} or later", "upgrade the server")
    return Kind.KFP_OK(f"{server}: version {health.version}, API v2beta1")
