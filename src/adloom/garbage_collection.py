"""Garbage collections of commands and stages: imports leave half a million objects, and traversing them frees none."""

import atexit
import gc
import sys

YOUNG_COLLECTIONS = 100  # of the second generation before one of all objects; Python's default is 10


def skip_imports() -> None:
    """Collect all objects less often while modules are imported, and not at exit: a third of a short training."""
    gc.set_threshold(*gc.get_threshold()[:2], YOUNG_COLLECTIONS)
    atexit.unregister(_skip_last_collections)
    atexit.register(_skip_last_collections)


def _skip_last_collections() -> None:
    if "duckdb" not in sys.modules:  # without them it reports its types as leaked
        gc.freeze()
