"""Room, memory and CPUs, in folders and control groups that a test makes."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import shop
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import machine
from adloom.doctor.checks.machine import GIB
from adloom.doctor.finding import Kind

CLOSED = Path("/proc/self")  # not even root makes a file there


def test_room_is_told_for_every_place_that_is_written(make_context: MakeContext, tmp_path: Path) -> None:
    found = list(machine.check_disk(make_context(ADLOOM_HOME=str(tmp_path / "not" / "yet"))))
    assert {one.name for one in found} <= {"disk-ok", "disk-low"}  # of the machine that runs the tests
    assert [one.found.partition(" (")[2].partition(")")[0] for one in found] == [
        "the working folder",
        "ADLOOM_HOME",
        "temporary files",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


def test_a_disk_with_too_little_room_is_told_in_numbers(tmp_path: Path) -> None:
    (found,) = machine.check_folder(tmp_path, "the working folder", 1 << 60)
    assert found.name == "disk-low"
    assert found.found.endswith("free, 1073741824.0 GiB needed")
    assert found.next_step == "free some space, or use another disk"


def test_a_folder_that_cannot_be_written_is_told(make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CLOSED)
    found = {one.name for one in machine.check_disk(make_context(ADLOOM_HOME="home"))}
    assert "disk-unwritable" in found
    (told,) = machine.check_folder(CLOSED, "ADLOOM_HOME", 1)
    assert told.next_step == f"mount a volume that user {os.getuid()} can write"


@pytest.mark.parametrize(
    ("absent", "variables"), [("torch", {}), ("adloom_no_such_module", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})]
)
def test_what_only_serves_and_a_component_need_no_working_folder(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, absent: str, variables: dict[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    context = make_context(ADLOOM_HOME=str(tmp_path), **variables)
    monkeypatch.chdir(CLOSED)
    assert "disk-unwritable" not in {one.name for one in machine.check_disk(context)}


def version_2(folder: Path, memory: str, cpu: str = "max 100000") -> Path:
    (folder / "memory.max").write_text(f"{memory}\n")
    (folder / "cpu.max").write_text(f"{cpu}\n")
    return folder


def version_1(folder: Path, memory: str, quota: str = "-1") -> Path:
    for name in ("memory", "cpu"):
        (folder / name).mkdir()
    (folder / "memory" / "memory.limit_in_bytes").write_text(f"{memory}\n")
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    return folder


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


@pytest.mark.parametrize("write", [version_1, version_2])
def test_a_limit_below_what_stages_have_on_kubernetes_names_them(
    make_context: MakeContext, groups: Path, write: Callable[..., Path]
) -> None:
    context = make_context({"pipeline": {"default": {"memory": "512Mi"}, "stages": {"segment": {"memory": "1.5Gi"}}}})
    (found,) = machine.check_memory(context, write(groups, str(GIB)))
    assert found.name == "memory-low"
    assert found.found == "1.0 GiB: less than params.yaml sets for segment (1.5Gi) on Kubernetes"
    assert found.next_step


@pytest.mark.parametrize("write", [version_1, version_2])
def test_a_limit_with_which_nothing_begins_is_told(
    make_context: MakeContext, groups: Path, write: Callable[..., Path]
) -> None:
    (found,) = machine.check_memory(make_context(), write(groups, str(GIB // 4)))
    assert found == Kind.MEMORY_SHORT("0.2 GiB, expected at least 1.0 GiB", "raise the memory limit")


@pytest.mark.parametrize(("write", "unlimited"), [(version_1, "9223372036854771712"), (version_2, "max")])
def test_without_a_limit_the_machine_counts(
    make_context: MakeContext, groups: Path, write: Callable[..., Path], unlimited: str
) -> None:
    context = make_context({"pipeline": {"default": {"memory": "1Mi"}, "stages": {}}})
    (found,) = machine.check_memory(context, write(groups, unlimited))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.found.startswith(machine.format_bytes(total))


@pytest.mark.parametrize(
    ("quantity", "count"),
    [("1.5Gi", 3 << 29), ("1048577Ki", (1 << 30) + 1024), ("1100M", 1_100_000_000), ("1.2G", 1_200_000_000)],
)
def test_quantities_are_read_as_kubernetes_does(
    make_context: MakeContext, groups: Path, quantity: str, count: int
) -> None:
    context = make_context({"pipeline": {"default": {"memory": quantity}, "stages": {}}})
    (enough,) = machine.check_memory(context, version_2(groups, str(count)))
    (less,) = machine.check_memory(context, version_2(groups, str(count - 1)))
    assert (enough.name, less.name) == ("memory-ok", "memory-low")


@pytest.mark.parametrize(("write", "half"), [(version_1, "50000"), (version_2, "50000 100000")])
def test_fewer_cpus_than_threads_are_told(
    make_context: MakeContext, groups: Path, write: Callable[..., Path], half: str
) -> None:
    (found,) = machine.check_cpus(make_context(), write(groups, "max", half))
    assert found.name == "cpu-few"
    assert found.found.startswith("0.5 CPUs: fewer than the threads of train_gan.threads (1), ")
    assert found.next_step


def test_enough_cpus_are_told(make_context: MakeContext, groups: Path) -> None:
    context = make_context({"score": {"threads": 1}})
    (found,) = machine.check_cpus(context, version_2(groups, "max"))
    assert found.name == "cpu-ok"


def cpuinfo(folder: Path, flags: str) -> Path:
    (folder / "cpuinfo").write_text(f"model name\t: any\nflags\t\t: {flags}\n")
    return folder / "cpuinfo"


def test_bf16_where_a_cpu_emulates_it_is_told_with_the_stages(
    make_context: MakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    bf16 = {stage: shop.params()[stage] | {"precision": "bf16-mixed"} for stage in ("train_gan", "train_lstm")}
    context = make_context(bf16)
    (slow,) = machine.check_precision(context, cpuinfo(tmp_path, "avx2 fma"))
    assert slow.name == "precision-emulated"
    assert slow.found == "32-true is fastest on this CPU, which emulates bf16-mixed of train_gan, train_lstm"
    assert slow.next_step.startswith("set train_gan.precision to 32-true in params.yaml")
    (fast,) = machine.check_precision(context, cpuinfo(tmp_path, "avx2 avx512_bf16"))
    assert (fast.name, fast.found) == (
        "precision-ok",
        "bf16-mixed is native on this CPU, 32-true fast on every CPU",
    )


def test_the_shipped_precision_is_the_fastest_on_every_other_cpu(make_context: MakeContext, tmp_path: Path) -> None:
    (found,) = machine.check_precision(make_context(), cpuinfo(tmp_path, "avx2 fma"))
    assert (found.name, found.found) == ("precision-ok", "32-true is fastest on this CPU")


def test_the_precision_of_what_only_serves_is_not_asked(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert [one.name for one in machine.check_precision(make_context())] == ["precision-not-asked"]
