"""
Distributed trainings: a job trains in its own pods while the component waits.

The component passes tables and the artifact through S3, below ADLOOM_CHECKPOINT_URI. The pods run adloom's command
line. At the end the job and its files are deleted.
"""

import hashlib
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from adloom.config.base import ConfigModel
from adloom.config.params import parse
from adloom.config.resources import PodResources
from adloom.config.settings import Settings, read_kernel_variables
from adloom.config.training import Training
from adloom.context import StageContext
from adloom.errors import AdloomError, ConfigError, ExternalServiceError
from adloom.kubeflow.jobs.base import Job, JobClient, JobState
from adloom.kubeflow.jobs.local import LocalJobClient
from adloom.stages.runner import Metrics
from adloom.storage import manifest
from adloom.storage.base import Store
from adloom.training import checkpoints

Paths = Mapping[str, Path]

POLL_SECONDS = 2.0
MAX_FAILED_POLLS = 150

logger = logging.getLogger(__name__)


def needs_cluster(block: ConfigModel, inputs: Paths) -> bool:
    """Return whether a stage trains in its own pods."""
    is_distributed = isinstance(block, Training) and block.enabled and block.processes > 1
    return is_distributed and not manifest.skip_reason(*inputs.values())


def open_job_client(settings: Settings) -> JobClient:
    """Return the client of the cluster, or of this machine outside a cluster."""
    if settings.kubernetes_host is None:
        return LocalJobClient(settings.home / "jobs")
    from adloom.kubeflow.jobs import trainjob

    return trainjob.connect()


def train(
    stage: str,
    project: str,
    block: Training,
    inputs: Paths,
    outputs: Paths,
    context: StageContext,
    settings: Settings,
    jobs: JobClient,
    sleep: Callable[[float], None] = time.sleep,
) -> Metrics:
    """
    Run a training as a job and fetch its artifact; return the last epoch's metrics.

    The job's name is a function of the run, inputs and parameters, so a restarted component joins its own job. Raises
    AdloomError with the pod that failed, ConfigError if the pod lacks variables or permissions.
    """
    tables = [manifest.digest(path) for _, path in sorted(inputs.items())]
    key = json.dumps([project, settings.kfp_run, block.digest(), *tables])
    name = f"{stage}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    scratch = f"{_scratch_uri(_checkpoint_uri(stage, block, context), settings.kfp_run)}/{name}"
    job = _build_job(name, stage, project, block, settings, {n: f"{scratch}/{n}" for n in [*inputs, *outputs]})
    with _exit_on_sigterm():
        _delete_previous(name, jobs, sleep)
        try:
            _start(job, scratch, inputs, context, jobs)
            _wait(job, jobs, sleep)
        except BaseException:
            _delete(name, scratch, context, jobs)
            raise
        for output, path in outputs.items():  # if this fails, the artifact stays for the next attempt
            context.store.fetch(f"{scratch}/{output}", path)
            manifest.verify(path)
        _delete(name, scratch, context, jobs)
    return _read_metrics(outputs)


def delete_run_jobs(settings: Settings, store: Store) -> None:
    """Delete a run's jobs and their files, which a terminated task leaves; a failure is a warning."""
    if settings.kfp_run is None:
        return
    if settings.kubernetes_host:
        _delete_jobs(settings.kfp_run, settings)
    if settings.checkpoint_uri:
        checkpoints.remove_remote(store, _scratch_uri(settings.checkpoint_uri, settings.kfp_run))


def _delete_jobs(run: str, settings: Settings) -> None:
    try:
        jobs = open_job_client(settings)
        for name in jobs.list_names(run):
            jobs.delete(name)
            logger.info("%s: deleted, because its run has ended", name)
    except AdloomError as error:
        logger.warning("%s; `kubectl delete trainjob -l pipeline/runid=%s` deletes the rest", error, run)


def _scratch_uri(checkpoint_uri: str, run: str | None) -> str:
    return f"{checkpoint_uri.rstrip('/')}/jobs/{run or 'no-run'}"


def _checkpoint_uri(stage: str, block: Training, context: StageContext) -> str:
    if context.checkpoint_uri is None:
        raise ConfigError(
            f"ADLOOM_CHECKPOINT_URI: not set in this pod; {stage} with {block.processes} processes needs S3, "
            "put s3://bucket/prefix into the ConfigMap adloom"
        )
    return context.checkpoint_uri


def _build_job(
    name: str, stage: str, project: str, block: Training, settings: Settings, paths: Mapping[str, str]
) -> Job:
    if settings.kubernetes_host and not (settings.image and settings.place):
        raise ConfigError(
            f"ADLOOM_IMAGE and ADLOOM_PLACE: not set in this pod, though {stage} has {block.processes} processes; "
            "start the pipeline with `adloom submit`, which sets them"
        )
    options = [part for n, uri in paths.items() for part in (f"--{n.replace('_', '-')}", uri)]
    variables = {
        "KFP_RUN_ID": settings.kfp_run,
        "MLFLOW_RUN_ID": settings.parent_run,
        "ADLOOM_IMAGE_DIGEST": settings.image_digest,
        "ADLOOM_QUIET": "true",  # a progress bar would log a line per step
        **read_kernel_variables(),
    }
    return Job(
        name=name,
        command=(stage, "--project", project, "--block", block.to_json(), *options),
        nodes=block.nodes,
        devices=block.devices,
        image=settings.image or "",
        resources=parse(PodResources, settings.place) if settings.place else PodResources(),
        environment={key: value for key, value in variables.items() if value},
    )


def _delete_previous(name: str, jobs: JobClient, sleep: Callable[[float], None]) -> None:
    for _ in range(MAX_FAILED_POLLS):
        phase = jobs.get_state(name).phase
        if phase not in ("failed", "ending"):
            return
        if phase == "failed":
            jobs.delete(name)
        sleep(POLL_SECONDS)
    raise ExternalServiceError(
        f"{name}: the previous job of this name is not deleted; `kubectl describe trainjob {name}` says why"
    )


def _start(job: Job, scratch: str, inputs: Paths, context: StageContext, jobs: JobClient) -> None:
    if jobs.get_state(job.name).phase != "absent":
        logger.info("%s: exists already; waiting for it", job.name)
        return
    for name, path in inputs.items():
        context.store.push(path, f"{scratch}/{name}")
    jobs.start(job)
    logger.info("%s: started on %d nodes with %d processes each", job.name, job.nodes, job.devices)


def _wait(job: Job, jobs: JobClient, sleep: Callable[[float], None]) -> None:
    """Log the first node's output until the job is complete. Raises AdloomError if it fails or is deleted."""
    last, failed_polls = JobState("running"), 0
    while True:
        try:
            state, failed_polls = jobs.get_state(job.name), 0
        except ExternalServiceError as error:
            failed_polls += 1
            if failed_polls == MAX_FAILED_POLLS:
                raise
            logger.warning("%s; still waiting", error)
        else:
            _log_output(job, jobs)
            if _is_complete(job, state):
                return
            if state.restarts not in ("", last.restarts):
                logger.warning("%s: %s; its pods restart from the last checkpoint", job.name, state.restarts)
            if state.reason not in ("", last.reason):
                logger.warning("%s waits: %s", job.name, state.reason)
            last = state
        sleep(POLL_SECONDS)


def _log_output(job: Job, jobs: JobClient) -> None:
    """Log the first node's new output; an unreadable log says nothing about the job's state."""
    try:
        for line in jobs.read_logs(job.name):
            logger.info("%s", line)
    except ExternalServiceError as error:
        logger.warning("%s; its log is unreadable", error)


def _is_complete(job: Job, state: JobState) -> bool:
    if state.phase == "failed":
        raise AdloomError(f"{job.name} failed: {state.reason}")
    if state.phase in ("absent", "ending"):
        raise AdloomError(f"{job.name}: was deleted while this component waited; start the pipeline again")
    return state.phase == "complete"


def _delete(name: str, scratch: str, context: StageContext, jobs: JobClient) -> None:
    """Delete a job and its files; a failure is a warning, because the work has ended."""
    try:
        jobs.delete(name)
    except AdloomError as error:
        logger.warning("%s; `kubectl delete trainjob %s` deletes it", error, name)
    checkpoints.remove_remote(context.store, scratch)


def _read_metrics(outputs: Paths) -> Metrics:
    metrics: dict[str, float] = {}
    for path in outputs.values():
        if (path / "history.json").exists():
            history = json.loads((path / "history.json").read_text(encoding="utf-8"))
            metrics |= {name: points[-1][1] for name, points in history.items()}
    return metrics


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Raise SystemExit in the block on SIGTERM, which Kubernetes sends to a pod."""

    def exit_process(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, exit_process)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
