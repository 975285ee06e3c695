"""Child processes of a benchmark, forked from a server process that has already imported PyTorch."""

from multiprocessing import get_context

# A fresh interpreter would import PyTorch again for each child, and `torch._dynamo`, which every optimiser loads, on top: seconds of CPU
# time each. Child processes start with nothing else of the parent, so that figures depend on what is sent to them only.
CONTEXT = get_context("forkserver")
# The server ignores a module that it cannot import.
PRELOADED = ("eddy_lab.evaluate.trainer_process", "eddy_lab.evaluate.baseline_process", "torch._dynamo")
CONTEXT.set_forkserver_preload(list(PRELOADED))
