"""
A training that one pod is not enough for: it runs in pods of its own, and its component waits for them.

The component hands the tables over by S3, below ADLOOM_CHECKPOINT_URI, and takes the artifact back from there. The
pods run the command line of a laptop. However it ends, the job is deleted, and what was handed over with it.
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
from adloom.config.params import Training, parse
from adloom.config.resources import PodResources
from adloom.config.settings import Settings, read_kernel_variables
from adloom.context import StageContext
from adloom.errors import AdloomError, ConfigError, ExternalServiceError
from adloom.kubeflow.jobs.base import Job, JobClient, JobState
from adloom.kubeflow.jobs.local import LocalJobClient
from adloom.stages.runner import Metrics
from adloom.storage import manifest
from adloom.storage.base import Store
from adloom.training import checkpoints

Paths = Mapping[str, Path]

POLL_SECONDS, MAX_FAILED_POLLS = (
    2.0,
    150,
)  # seconds between looks at a job, and looks without an answer before waiting ends

logger = logging.getLogger(__name__)


def needs_cluster(block: ConfigModel, inputs: Paths) -> bool:
    """Return whether a stage trains in pods of its own."""
    several = isinstance(block, Training) and block.enabled and block.processes > 1
    return several and not manifest.skip_reason(*inputs.values())


def open_job_client(settings: Settings) -> JobClient:
    """Return whoever runs jobs here: the cluster, or without one this machine."""
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
    pause: Callable[[float], None] = time.sleep,
) -> Metrics:
    """
    Run a training in pods of its own and bring its artifact; return the last epoch's metrics.

    The job's name is a function of the pipeline's run, the inputs and the params: when this is killed and tried again,
    it joins its own job. Raises AdloomError naming the pod that failed and why, ConfigError when the pod was not told
    what it needs or may not start jobs.
    """
    name = _name(stage, project, block, inputs, settings)
    scratch = f"{_scratch(_bucket(stage, block, context), settings.kfp_run)}/{name}"
    job = _job(name, stage, project, block, settings, {n: f"{scratch}/{n}" for n in [*inputs, *outputs]})
    with _ended_by_a_signal():
        _clear(name, jobs, pause)
        try:
            _start(job, scratch, inputs, context, jobs)
            _wait(job, jobs, pause)
        except BaseException:
            _clean(name, scratch, context, jobs)
            raise
        for output, path in outputs.items():  # where this fails the artifact stays, and the next try takes it
            context.store.fetch(f"{scratch}/{output}", path)
            manifest.verify(path)
        _clean(name, scratch, context, jobs)
    return _metrics(outputs)


def delete_run_jobs(settings: Settings, store: Store) -> None:
    """
    Delete the jobs of the pipeline's run and what they were handed, which a terminated task leaves behind.

    What cannot be deleted is a warning.
    """
    if settings.kfp_run is None:
        return
    if settings.kubernetes_host:
        _delete_all(settings.kfp_run, settings)
    if settings.checkpoint_uri:
        checkpoints.remove_remote(store, _scratch(settings.checkpoint_uri, settings.kfp_run))


def _delete_all(run: str, settings: Settings) -> None:
    try:
        cluster = open_job_client(settings)
        for name in cluster.list_names(run):
            cluster.delete(name)
            logger.info("%s: deleted, for its run has ended", name)
    except AdloomError as error:
        logger.warning("%s; `kubectl delete trainjob -l pipeline/runid=%s` ends what is left", error, run)


def _name(stage: str, project: str, block: Training, inputs: Paths, settings: Settings) -> str:
    tables = [manifest.digest(path) for _, path in sorted(inputs.items())]
    key = json.dumps([project, settings.kfp_run, block.digest(), *tables])
    return f"{stage}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _scratch(checkpoint_uri: str, run: str | None) -> str:
    """Return where the jobs of a pipeline's run are handed their tables and leave their artifacts."""
    return f"{checkpoint_uri.rstrip('/')}/jobs/{run or 'no-run'}"


def _bucket(stage: str, block: Training, context: StageContext) -> str:
    if context.checkpoint_uri is None:
        raise ConfigError(
            f"ADLOOM_CHECKPOINT_URI: not set in this pod; {stage} of {block.processes} processes hands over by S3, "
            "put s3://bucket/prefix into the ConfigMap adloom"
        )
    return context.checkpoint_uri


def _job(name: str, stage: str, project: str, block: Training, settings: Settings, paths: Mapping[str, str]) -> Job:
    if settings.kubernetes_host and not (settings.image and settings.place):
        raise ConfigError(
            f"ADLOOM_IMAGE and ADLOOM_PLACE: not set in this pod, though {stage} has {block.processes} processes; "
            "start the pipeline with `adloom submit`, which sets them"
        )
    given = [part for n, uri in paths.items() for part in (f"--{n.replace('_', '-')}", uri)]
    known = {
        "KFP_RUN_ID": settings.kfp_run,
        "MLFLOW_RUN_ID": settings.parent_run,
        "ADLOOM_IMAGE_DIGEST": settings.image_digest,
        "ADLOOM_QUIET": "true",  # a bar would be a line per step in a log
        **read_kernel_variables(),
    }
    return Job(
        name=name,
        command=(stage, "--project", project, "--block", block.to_json(), *given),
        nodes=block.nodes,
        devices=block.devices,
        image=settings.image or "",
        place=parse(PodResources, settings.place) if settings.place else PodResources(),
        environment={key: value for key, value in known.items() if value},
    )


def _clear(name: str, jobs: JobClient, pause: Callable[[float], None]) -> None:
    """Delete a job of this name that failed, and wait until one that is ending is gone."""
    for _ in range(MAX_FAILED_POLLS):
        phase = jobs.get_state(name).phase
        if phase not in ("failed", "ending"):
            return
        if phase == "failed":
            jobs.delete(name)
        pause(POLL_SECONDS)
    raise ExternalServiceError(
        f"{name}: the old job of this name does not go; `kubectl describe trainjob {name}` says why"
    )


def _start(job: Job, scratch: str, inputs: Paths, context: StageContext, jobs: JobClient) -> None:
    """Hand the inputs over and start a job; one that is there already has them, and is joined."""
    if jobs.get_state(job.name).phase != "absent":
        logger.info("%s: is there already, and is waited for", job.name)
        return
    for name, path in inputs.items():
        context.store.push(path, f"{scratch}/{name}")
    jobs.start(job)
    logger.info("%s: started on %d nodes with %d processes each", job.name, job.nodes, job.devices)


def _wait(job: Job, jobs: JobClient, pause: Callable[[float], None]) -> None:
    """Tell what the first node says until the job is complete. Raises AdloomError when it fails or goes."""
    told, silent = JobState("running"), 0
    while True:
        try:
            state, silent = jobs.get_state(job.name), 0
        except ExternalServiceError as error:
            silent += 1
            if silent == MAX_FAILED_POLLS:
                raise
            logger.warning("%s; it goes on, waiting", error)
        else:
            _tell(job, jobs)
            if _is_complete(job, state):
                return
            if state.restarts not in ("", told.restarts):
                logger.warning("%s: %s; its pods are started again, from the last checkpoint", job.name, state.restarts)
            if state.why not in ("", told.why):
                logger.warning("%s waits: %s", job.name, state.why)
            told = state
        pause(POLL_SECONDS)


def _tell(job: Job, jobs: JobClient) -> None:
    """Say what the first node has said since; that it cannot be had says nothing of how the job stands."""
    try:
        for line in jobs.read_logs(job.name):
            logger.info("%s", line)
    except ExternalServiceError as error:
        logger.warning("%s; no line of its log", error)


def _is_complete(job: Job, state: JobState) -> bool:
    if state.phase == "failed":
        raise AdloomError(f"{job.name} failed: {state.why}")
    if state.phase in ("absent", "ending"):
        raise AdloomError(f"{job.name}: was deleted while it was waited for; start the pipeline again")
    return state.phase == "complete"


def _clean(name: str, scratch: str, context: StageContext, jobs: JobClient) -> None:
    """Delete a job and what was handed over; what cannot be deleted is a warning, for the work is done or failed."""
    try:
        jobs.delete(name)
    except AdloomError as error:
        logger.warning("%s; `kubectl delete trainjob %s` ends it", error, name)
    checkpoints.remove_remote(context.store, scratch)


def _metrics(outputs: Paths) -> Metrics:
    """Return the last epoch's metrics, none of a skipped artifact."""
    found: dict[str, float] = {}
    for path in outputs.values():
        if (path / "history.json").exists():
            history = json.loads((path / "history.json").read_text(encoding="utf-8"))
            found |= {name: points[-1][1] for name, points in history.items()}
    return found


@contextmanager
def _ended_by_a_signal() -> Iterator[None]:
    """Let SIGTERM, with which a pod is ended, end the block as an exception does."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
