"""The type of this CPU, and the precision that it trains fastest in."""

import platform
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FLAGS = re.compile(r"avx\w*|amx\w*|fma|asimd\w*|sve\w*|bf16|i8mm")  # instructions that change how sums are made
BF16 = {"amx_bf16", "avx512_bf16", "bf16"}  # of Intel and AMD, and of ARM
WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}  # limits of oneDNN below it
CPUINFO = Path("/proc/cpuinfo")


class Cpu(BaseModel):
    """A type of CPU: on two of one type the same program gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    model: str
    flags: tuple[str, ...]


def read_cpu(info: Path = CPUINFO) -> Cpu:
    """Return the type of this CPU; where the system does not list it, what Python knows."""
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    said = {name.strip().lower(): value.strip() for name, _, value in lines}
    flags = (said.get("flags") or said.get("features") or "").split()
    return Cpu(
        architecture=platform.machine(),
        model=said.get("model name") or platform.processor(),
        flags=tuple(sorted(flag for flag in flags if FLAGS.fullmatch(flag))),
    )


def has_bf16(cpu: Cpu, kernels: Mapping[str, str]) -> bool:
    """Return whether a CPU has instructions for bfloat16 that no variable forbids; without them it is emulated."""
    limit = kernels.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return bool(BF16.intersection(cpu.flags)) and limit not in WITHOUT_BF16
