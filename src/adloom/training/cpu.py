"""The type of this CPU, and its fastest training precision."""

import platform
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FLAGS = re.compile(r"avx\w*|amx\w*|fma|asimd\w*|sve\w*|bf16|i8mm")  # instructions that change sums
BF16 = {"amx_bf16", "avx512_bf16", "bf16"}  # of Intel and AMD, then of ARM
WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}  # values of ONEDNN_MAX_CPU_ISA
CPUINFO = Path("/proc/cpuinfo")


class Cpu(BaseModel):
    """A type of CPU; equal types compute equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    model: str
    flags: tuple[str, ...]


def read_cpu(info: Path = CPUINFO) -> Cpu:
    """Return the type of this CPU."""
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    properties = {name.strip().lower(): value.strip() for name, _, value in lines}
    flags = (properties.get("flags") or properties.get("features") or "").split()
    return Cpu(
        architecture=platform.machine(),
        model=properties.get("model name") or platform.processor(),
        flags=tuple(sorted(flag for flag in flags if FLAGS.fullmatch(flag))),
    )


def has_bf16(cpu: Cpu, kernels: Mapping[str, str]) -> bool:
    """Return whether the CPU has bfloat16 instructions that no variable disables."""
    limit = kernels.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return bool(BF16.intersection(cpu.flags)) and limit not in WITHOUT_BF16
