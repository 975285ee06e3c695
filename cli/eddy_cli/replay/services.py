"""Reads the readiness of services and the joiner's open impressions over HTTP."""

import asyncio
import time

import httpx
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from eddy.errors import FatalError
from eddy.metrics import LATENESS, OPEN_IMPRESSIONS


async def wait_until_ready(services: str, timeout_sec: float) -> None:
    """Wait for the services in `name=url,name=url`. Raises FatalError for the first one that does not get ready."""
    deadline = time.monotonic() + timeout_sec
    async with httpx.AsyncClient(timeout=5.0) as client:
        for entry in filter(None, services.split(",")):
            name, _, url = entry.partition("=")
            while (problem := await _problem(client, url)) is not None:
                if time.monotonic() > deadline:
                    raise FatalError(f"{name} is not ready at {url}: {problem}; start it with `eddy run {name}`")
                await asyncio.sleep(0.25)


async def open_impressions(joiner_urls: str) -> int:
    """Impressions without a label, summed over all joiners. Raises FatalError if one does not answer."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        return sum([await _open_impressions(client, url) for url in joiner_urls.split(",")])


async def lateness_sec(joiner_urls: str) -> float:
    """The shortest lateness of all joiners, in seconds. Raises FatalError if one does not answer or does not tell."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        values = [await _values(client, url, LATENESS) for url in joiner_urls.split(",")]
    if not all(values):
        raise FatalError("a joiner in EDDY_REPLAY_JOINER_URL has no metric eddy_joiner_lateness_seconds: upgrade it")
    return min(map(min, values))


async def _problem(client: httpx.AsyncClient, url: str) -> str | None:
    try:
        answer = await client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None if answer.status_code == httpx.codes.OK else answer.text


async def _open_impressions(client: httpx.AsyncClient, url: str) -> int:
    return round(sum(await _values(client, url, OPEN_IMPRESSIONS)))


async def _values(client: httpx.AsyncClient, url: str, metric: Gauge) -> list[float]:
    """The values of a metric of the joiner at `url`, one by label."""
    try:
        answer = await client.get(f"{url}/metrics")
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise FatalError(f"no joiner answers at {url} ({error}): start it or set EDDY_REPLAY_JOINER_URL") from error
    families = text_string_to_metric_families(answer.text)
    (name,) = {family.name for family in metric.collect()}
    return [sample.value for family in families if family.name == name for sample in family.samples]
