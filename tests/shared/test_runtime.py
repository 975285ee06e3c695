"""The runtime of a service: start, health, end."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from eddy.errors import FatalError
from eddy.paths import REPO_ROOT
from eddy.runtime import Health, serve_health

PROGRAM = """
import asyncio
from eddy.errors import {error}
from eddy.runtime import Health, run_service
from eddy.settings import Settings

async def main(settings: Settings, health: Health) -> None:
    {body}

run_service("trial", Settings, main)
"""


def program(body: str, error: str = "FatalError") -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(body=body, error=error)]


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    yield port


async def test_health_reports_progress_and_readiness(free_port: int) -> None:
    health = Health(stalled_after_sec=0.0)
    server = asyncio.create_task(serve_health(health, "127.0.0.1", free_port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", trust_env=False) as client:
        await asyncio.wait_for(_listening(client), 10)
        assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [503, 503]
        health.ready, health.stalled_after_sec = True, 60.0
        assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        assert "process_cpu_seconds_total" in (await client.get("/metrics")).text
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


async def _listening(client: httpx.AsyncClient) -> None:
    while True:
        try:
            await client.get("/healthz")
            return
        except httpx.ConnectError:
            await asyncio.sleep(0.02)


async def test_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(FatalError, match="cannot listen"):
        await serve_health(Health(), "127.0.0.1", taken.getsockname()[1])


@pytest.mark.broker
def test_fatal_error_ends_in_one_line_and_code_1() -> None:
    ended = subprocess.run(
        program("raise FatalError('mend this')"), cwd=REPO_ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, "trial: mend this\n")


@pytest.mark.broker
def test_unknown_setting_ends_in_one_line_and_code_1() -> None:
    environment = {"EDDY_TOPIC_PREFFIX": "x", "PATH": ""}
    ended = subprocess.run(program("pass"), cwd=REPO_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("trial: unknown setting EDDY_TOPIC_PREFFIX")
    assert ended.stderr.count("\n") == 1


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_in_code_0(number: signal.Signals) -> None:
    with subprocess.Popen(
        program("print('up', flush=True); await asyncio.sleep(60)"), cwd=REPO_ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
