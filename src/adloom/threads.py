"""The number of threads of all libraries, and how they wait."""

import os
import sys
import threading

from threadpoolctl import threadpool_limits

BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OTHERS = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")  # torch and Arrow; tokenizers
WAIT_POLICY = "OMP_WAIT_POLICY"  # read by each OpenMP library when it is loaded
NICENESS = 10  # of threads that must not delay others


def limit_threads(count: int, blas: int | None = None) -> None:
    """
    Limit the threads of all libraries, with another limit for BLAS, and let waiting OpenMP threads sleep.

    OpenMP threads that spin while they wait take the cores from the threads they wait for, and from other processes.
    ONNX Runtime and DuckDB have limits per session and connection.
    """
    blas = blas or count
    os.environ.update(dict.fromkeys(BLAS, str(blas)) | dict.fromkeys(OTHERS, str(count)))  # for libraries loaded later
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")
    threadpool_limits(limits={"blas": blas, "openmp": count})  # for loaded libraries
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_cpu_count(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def lower_priority() -> None:
    """Let this thread and those it starts run when others need no processor."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
