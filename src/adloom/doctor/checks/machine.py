"""The machine: disk space, memory, CPUs and precision."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from adloom.config.params import Params
from adloom.config.settings import read_kernel_variables
from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind
from adloom.training import cpu

GIB = 1 << 30
WORK = 2 * GIB  # bytes of disk for data, models and DVC's cache
HOME = {True: GIB, False: GIB // 4}  # for downloads and checkpoints if training is installed, else for served models
SCRATCH = {True: GIB // 2, False: GIB // 4}  # for transfers with S3
LEAST = {True: GIB, False: GIB // 2}  # bytes of memory for training, or for serving only
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # bytes; version 1 reports a larger number if there is no limit
UNITS = {
    "": 1,
    **{f"{letter}{i}": (1024 if i else 1000) ** n for n, letter in enumerate("KMGTP", 1) for i in ("", "i")},
}


def check_disk(context: DoctorContext) -> Iterator[Finding]:
    """Check disk space and write access of the folders that adloom writes to."""
    if (
        context.can_train and context.environment != "pod"
    ):  # a component writes where Kubeflow wants it, what serves only reads
        yield from check_folder(Path(), "the working folder", WORK)
    yield from check_folder(context.settings.home, "ADLOOM_HOME", HOME[context.can_train])
    yield from check_folder(_temporary(), "temporary files", SCRATCH[context.can_train])


def check_folder(folder: Path, role: str, room: int) -> Iterator[Finding]:
    """Check that a folder, or its nearest existing parent, is writable and has enough space."""
    name = f"{folder.absolute()} ({role})"
    if why := find_write_error(folder):
        yield Kind.DISK_UNWRITABLE(f"{name}: {why}", f"mount a volume that user {os.getuid()} can write")
        return
    free = shutil.disk_usage(_nearest_existing(folder)).free
    if free < room:
        yield Kind.DISK_LOW(
            f"{name}: {format_bytes(free)} free, {format_bytes(room)} needed", "free some space, or use another disk"
        )
    else:
        yield Kind.DISK_OK(f"{name}: {format_bytes(free)} free, {format_bytes(room)} needed")


def find_write_error(folder: Path) -> str:
    """Return why a folder, or its nearest existing parent, is not writable; "" if it is."""
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest_existing(folder), prefix=".adloom-doctor-"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def check_memory(context: DoctorContext, cgroups: Path = CGROUPS) -> Iterator[Finding]:
    """Compare memory with the minimum, and with the stages' memory on Kubernetes."""
    limit = _read(cgroups / "memory.max") or _read(cgroups / "memory" / "memory.limit_in_bytes")  # cgroups 2 or 1
    have = min(int(limit) if limit.isdigit() else UNLIMITED, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    least = LEAST[context.can_train]
    if have < least:
        yield Kind.MEMORY_SHORT(
            f"{format_bytes(have)}, expected at least {format_bytes(least)}", "raise the memory limit"
        )
        return
    limits = _memory_by_stage(context.valid_params) if context.can_train else {}
    too_large = [f"{stage} ({memory})" for stage, memory in sorted(limits.items()) if _parse_bytes(memory) > have]
    if too_large:
        yield Kind.MEMORY_LOW(
            f"{format_bytes(have)}: less than params.yaml sets for {', '.join(too_large)} on Kubernetes",
            "raise the limit, or lower batch_size, segment.sample or picture_size if a stage is killed",
        )
    else:
        yield Kind.MEMORY_OK(f"{format_bytes(have)}, at least {format_bytes(least)} needed")


def check_cpus(context: DoctorContext, cgroups: Path = CGROUPS) -> Iterator[Finding]:
    """Compare CPUs with the configured threads."""
    have = min(_quota(cgroups), len(os.sched_getaffinity(0)))
    threads = {"ADLOOM_SERVE_THREADS": context.settings.serve_threads}
    if context.can_train:
        blocks = dict(context.valid_params or ())
        threads = {f"{name}.threads": block.threads for name, block in blocks.items() if hasattr(block, "threads")}
    too_many = [f"{name} ({count})" for name, count in threads.items() if count > have]
    if too_many:
        yield Kind.CPU_FEW(
            f"{have:g} CPUs: fewer than the threads of {', '.join(too_many)}",
            "add CPUs; other threads in params.yaml would change the artifacts' bytes",
        )
    else:
        yield Kind.CPU_OK(f"{have:g} CPUs, {max(threads.values(), default=1)} threads at most")


def check_precision(context: DoctorContext, info: Path = cpu.CPUINFO) -> Iterator[Finding]:
    """Report the fastest precision of this CPU, and the stages whose precision it emulates."""
    if not context.can_train:
        yield Kind.PRECISION_NOT_ASKED("training is not installed")
        return
    native = cpu.has_bf16(cpu.read_cpu(info), read_kernel_variables())
    trainings = context.valid_params.trainings if context.valid_params else {}
    mixed = [stage for stage, block in trainings.items() if block.precision != "32-true"]
    if mixed and not native:
        yield Kind.PRECISION_EMULATED(
            f"32-true is fastest on this CPU, which emulates bf16-mixed of {', '.join(mixed)}",
            f"set {mixed[0]}.precision to 32-true in params.yaml, or train on a CPU with AVX-512 BF16 or AMX",
        )
    else:
        text = (
            "bf16-mixed is native on this CPU, 32-true fast on every CPU"
            if native
            else "32-true is fastest on this CPU"
        )
        yield Kind.PRECISION_OK(text)


def format_bytes(count: int) -> str:
    """Return a number of bytes in GiB."""
    return f"{count / GIB:.1f} GiB"


def _temporary() -> Path:
    """Return the folder of temporary files, /tmp if none is writable."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path("/tmp")  # noqa: S108 - only looked at


def _memory_by_stage(params: Params | None) -> dict[str, str]:
    if params is None:
        return {}
    own = {stage: params.pipeline.resources_for(stage).memory for stage in params.pipeline.stages}
    return {"any other stage": params.pipeline.default.memory, **own}


def _parse_bytes(memory: str) -> int:
    """Parse a quantity of Kubernetes."""
    number = memory.rstrip("KMGTPi")
    return int(float(number) * UNITS[memory[len(number) :]])


def _quota(cgroups: Path) -> float:
    """Return this container's limit of CPUs, from cgroups version 2 or 1."""
    quota, _, period = (
        _read(cgroups / "cpu.max")
        or f"{_read(cgroups / 'cpu' / 'cpu.cfs_quota_us')} {_read(cgroups / 'cpu' / 'cpu.cfs_period_us')}"
    ).partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else float("inf")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
