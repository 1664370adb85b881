"""The type of a CPU, from files that a test writes, and its fastest precision."""

from pathlib import Path

import pytest

from adloom.training import cpu

CPUINFO = """processor\t: 0
model name\t: AMD EPYC 9B14
flags\t\t: fpu sse2 fma avx avx2 avx512f amx_bf16 rdrand

processor\t: 1
model name\t: another
"""


def test_a_type_of_cpu_is_its_model_and_the_instructions_that_change_sums(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    this_cpu = cpu.read_cpu(tmp_path / "cpuinfo")
    assert (this_cpu.model, this_cpu.flags) == ("AMD EPYC 9B14", ("amx_bf16", "avx", "avx2", "avx512f", "fma"))
    unknown = cpu.read_cpu(tmp_path / "absent")
    assert (unknown.architecture, unknown.flags) == (this_cpu.architecture, ())


@pytest.mark.parametrize(
    ("flags", "kernels", "has"),
    [
        (["avx2", "avx512f", "avx512_bf16"], {}, True),
        (["avx2", "avx512f", "amx_bf16"], {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, True),
        (["asimd", "bf16"], {}, True),
        (["avx2", "avx512f"], {}, False),
        (["avx2"], {}, False),
        (["avx2", "avx512_bf16"], {"ONEDNN_MAX_CPU_ISA": "avx2"}, False),
    ],
)
def test_bf16_is_emulated_without_instructions_for_it(flags: list[str], kernels: dict[str, str], has: bool) -> None:
    assert cpu.has_bf16(cpu.Cpu(architecture="any", model="any", flags=tuple(flags)), kernels) is has
