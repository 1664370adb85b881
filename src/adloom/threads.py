"""Threads: one number for every library that starts its own; each would start one per core of the machine."""

import os
import sys

from threadpoolctl import threadpool_limits

BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OTHERS = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")  # torch and Arrow; tokenizers


def limit_threads(count: int, blas: int | None = None) -> None:
    """
    Give each library of this process so many threads, and BLAS another number where one is given.

    ONNX Runtime and DuckDB take theirs when a session or a connection is opened.
    """
    blas = blas or count
    os.environ.update(dict.fromkeys(BLAS, str(blas)) | dict.fromkeys(OTHERS, str(count)))  # for what is loaded later
    threadpool_limits(limits={"blas": blas, "openmp": count})  # for what is loaded
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_cpu_count(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
