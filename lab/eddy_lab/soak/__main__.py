"""`make soak MINUTES=30 RATE=50`: plays a month of churn on the stack of `eddy exec`, and prints its memory every minute.

Event time is in fast motion: the month takes MINUTES, whatever they are. Events go through the gateway, requests and items through Kafka.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import psutil

from eddy.contract.codec import Codec
from eddy.contract.topics import ITEMS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS
from eddy.kafka.bus import Bus, Producer, Reader
from eddy.ready import is_ready
from eddy.settings import Settings, load
from eddy_lab.soak.churn import DAY_MS, DAYS, Churn
from eddy_lab.soak.memory import FLAT, KAFKA, collect_garbage, growth, resident_mb, stack_processes, table, verdict

TICK_SEC = 0.1
READY_SEC = 180.0
EVENTS_PER_REQUEST = 5
ITEM_SEC = 1.0  # between two looks at items and users that come or go
SAMPLES_PER_MIN = 6
SAMPLES_PER_COLLECTION = 3


class Soak:
    """Plays `churn` and samples the processes of the stack."""

    def __init__(self, churn: Churn, rate: float, minutes: float, urls: dict[str, str], bus: Bus) -> None:
        self._churn, self._rate, self._minutes, self._urls, self._bus = churn, rate, minutes, urls, bus
        self._processes: dict[str, psutil.Process] = {}
        self._counts: Counter[str] = Counter()
        self.samples: list[dict[str, object]] = []

    async def run(self) -> None:
        """Play the month."""
        self._processes = stack_processes()
        async with (
            self._bus.producer() as producer,
            self._bus.reader(self._bus.topic_partitions(RECOMMENDATIONS)) as reader,
        ):
            await reader.seek_to_end()
            await self._change_items(producer)
            started = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sample(started))
                tasks.create_task(self._play(producer, reader, started))

    async def _play(self, producer: Producer, reader: Reader, started: float) -> None:
        changed_at, sent = 0.0, 0
        while (elapsed := time.monotonic() - started) < 60 * self._minutes:
            self._churn.advance(elapsed / 60 / self._minutes)
            if elapsed - changed_at >= ITEM_SEC:
                changed_at = elapsed
                await self._change_items(producer)
            events = [self._churn.event() for _ in range(int(elapsed * self._rate) - sent)]
            sent += len(events)
            if events:
                await asyncio.to_thread(self._call, "POST", "/v1/events", events)
            codec = Codec.for_topic(RECOMMENDATION_REQUESTS)
            for number in range(sent - len(events), sent):
                if number % EVENTS_PER_REQUEST == 0:
                    request = self._churn.request(str(events[number - sent]["user_id"]), number)
                    await producer.send(RECOMMENDATION_REQUESTS, request["user_id"], codec.encode(request))
            slates = Codec.for_topic(RECOMMENDATIONS)
            for message in await reader.batch(int(1000 * TICK_SEC)):
                self._counts["slates"] += 1
                self._churn.serve(slates.decode(message.value))

    async def _change_items(self, producer: Producer) -> None:
        codec = Codec.for_topic(ITEMS)
        await producer.send_all(ITEMS, [(item["item_id"], codec.encode(item)) for item in self._churn.new_items()])
        await producer.send_all(ITEMS, [(name, None) for name in self._churn.deleted_items()])
        while self._churn.gone_users:
            await asyncio.to_thread(self._call, "DELETE", f"/v1/users/{self._churn.gone_users.pop()}", None)

    def _call(self, method: str, path: str, body: object) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._urls["gateway"] + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            self._counts["events"] += len(body) if isinstance(body, list) else 0
        except urllib.error.HTTPError as refused:
            self._counts["refused"] += 1
            if refused.code not in (429, 503):
                raise

    async def _sample(self, started: float) -> None:
        print(f"{'minute':>6} {'day':>5} " + " ".join(f"{name:>9}" for name in self._processes), end="")
        print(f" {'events/s':>9} {'slates/s':>9} {'refused':>8} {'lag':>7} {'dead':>5}", flush=True)
        former: Counter[str] = Counter()
        for number in range(round(self._minutes * SAMPLES_PER_MIN) + 1):
            await asyncio.sleep(max(0.0, started + 60 * number / SAMPLES_PER_MIN - time.monotonic()))
            if KAFKA in self._processes and number % SAMPLES_PER_COLLECTION == 0:
                await asyncio.to_thread(collect_garbage, self._processes[KAFKA])
            lag, dead = await asyncio.to_thread(self._figures)
            sample = {
                "minute": number / SAMPLES_PER_MIN,
                "rss_mb": resident_mb(self._processes),
                "lag": lag,
                "dead_letters": dead,
            }
            self.samples.append({**sample, **self._counts})
            if number % SAMPLES_PER_MIN == 0:
                per_sec = {name: (self._counts[name] - former[name]) / 60 for name in ("events", "slates")}
                former = self._counts.copy()
                memory = " ".join(f"{value:>9.1f}" for value in resident_mb(self._processes).values())
                print(f"{number // SAMPLES_PER_MIN:>6} {self._churn.day:>5.1f} {memory}", end="")
                print(f" {per_sec['events']:>9.1f} {per_sec['slates']:>9.1f}", end="")
                print(f" {self._counts['refused']:>8} {lag:>7} {dead:>5}", flush=True)

    def _figures(self) -> tuple[int, int]:
        """Lag of all consumers, and dead letters, in records."""
        lag = dead = 0.0
        for url in self._urls.values():
            with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            lag += sum(map(float, re.findall(r"^eddy_consumer_lag_records\{.*\} (\S+)$", text, re.MULTILINE)))
            dead += sum(map(float, re.findall(r"^eddy_dead_letters_total\{.*\} (\S+)$", text, re.MULTILINE)))
        return int(lag), int(dead)

    def report(self) -> dict[str, object]:
        """All samples, and the growth of each process."""
        minutes = [float(str(sample["minute"])) for sample in self.samples]
        growths = {
            name: growth(minutes, [sample["rss_mb"][name] for sample in self.samples])  # type: ignore[index]
            for name in self._processes
        }
        return {
            "minutes": self._minutes,
            "rate": self._rate,
            "growth": {name: asdict(each) for name, each in growths.items()},
            "table": table(growths),
            "verdict": verdict(growths),
            "samples": self.samples,
        }


async def _soak(minutes: float, rate: float) -> dict[str, object]:
    urls = dict(entry.split("=", 1) for entry in os.environ["EDDY_REPLAY_READY_URLS"].split(","))
    deadline = time.monotonic() + READY_SEC
    while not all([await asyncio.to_thread(is_ready, url) for url in urls.values()]):
        if time.monotonic() > deadline:
            raise SystemExit(f"soak: the services are not ready after {READY_SEC:.0f} s")
        await asyncio.sleep(0.5)
    start = int(time.time() * 1000) - (DAYS + 1) * DAY_MS
    soak = Soak(Churn(start, 60 * rate * minutes / DAYS), rate, minutes, urls, Bus(load(Settings)))
    await soak.run()
    return soak.report()


def main() -> int:
    """Run a soak; the exit code is 0 if the memory of every process was flat."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="duration of the month (default: 30)")
    parser.add_argument("--rate", type=float, default=50.0, help="events per second (default: 50)")
    parser.add_argument("--output", type=Path, default=Path("reports/soak.json"), help="JSON file of all samples")
    options = parser.parse_args()
    report = asyncio.run(_soak(options.minutes, options.rate))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"soak: MB a minute after the warm-up: {report['table']}", flush=True)
    print(f"soak: {report['verdict']}; written to {options.output}", flush=True)
    return 0 if report["verdict"] == FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
