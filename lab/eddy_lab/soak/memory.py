"""Resident memory of the processes of a stack, and the verdict on it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from eddy_cli.services import SERVICES

MB = 1024 * 1024
KAFKA = "kafka"
# A process is flat if it grows by less than this over the second half of a run.
MAX_MB_PER_MIN = 1.0
MAX_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of a process over the second half of a run, by a straight line through its samples."""

    mb_per_min: float
    share: float  # of its memory in the middle of the run

    @property
    def flat(self) -> bool:
        return self.mb_per_min < MAX_MB_PER_MIN and self.share < MAX_SHARE


def stack_processes() -> dict[str, psutil.Process]:
    """The services and Kafka of the stack that runs this process (`eddy exec`)."""
    for ancestor in psutil.Process(os.getpid()).parents():
        found = {name: process for process in ancestor.children(recursive=True) if (name := _name(process))}
        if found.keys() >= SERVICES.keys():
            return found
    return {}


def resident_mb(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Resident memory by process."""
    return {name: round(process.memory_info().rss / MB, 1) for name, process in processes.items()}


def growth(minutes: Sequence[float], samples: Sequence[float]) -> Growth:
    """The growth over the second half of `samples` (MB), taken at `minutes`."""
    half = len(samples) // 2
    times, values = np.array(minutes[half:]), np.array(samples[half:])
    if len(values) < 2:
        return Growth(0.0, 0.0)
    slope, start = np.polyfit(times - times[0], values, 1)
    return Growth(round(float(slope), 3), round(float(slope * (times[-1] - times[0]) / max(start, 1.0)), 4))


def verdict(growths: Mapping[str, Growth]) -> str:
    """Flat, or what grew."""
    grown = [
        f"{name} grew by {each.mb_per_min:.2f} MB/min ({each.share:.1%} in the second half)"
        for name, each in growths.items()
        if not each.flat
    ]
    return "; ".join(grown) or "flat"


def _name(process: psutil.Process) -> str:
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return ""
    modules = [argument.removeprefix("eddy_") for argument in arguments if argument.startswith("eddy_")]
    if "-m" in arguments and modules and modules[0] in SERVICES:
        return modules[0]
    return KAFKA if any("kafka" in argument for argument in arguments) and "java" in arguments[0] else ""
