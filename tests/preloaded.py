"""All services imported, without starting anything: the fork server of tests/forked.py imports this module, and nothing else does."""

import gc
import os
import sys
from importlib import import_module
from pathlib import Path

from tests.forked import SERVICES

# OpenBLAS starts its threads when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

for _service in SERVICES:
    import_module(f"eddy_{_service}.__main__")
    # A fork runs it again.
    del sys.modules[f"eddy_{_service}.__main__"]

# A thread would not exist in the forked processes, where others may wait for it.
THREADS = len(list(Path("/proc/self/task").iterdir()))
assert THREADS == 1, f"the imports of the services started {THREADS - 1} threads"

# Exempt from garbage collection, which would write to, and so copy, every page that the processes share.
gc.collect()
gc.freeze()
