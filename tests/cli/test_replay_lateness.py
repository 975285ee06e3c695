"""A replay keeps its users within the lateness of the running joiners."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from rich.console import Console

from eddy.errors import FatalError
from eddy_cli.replay.app import within_lateness
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.services import lateness_sec


@contextmanager
def metrics(text: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_the_shortest_lateness_of_all_joiners_counts() -> None:
    with metrics("eddy_joiner_lateness_seconds 300.0\n") as one, metrics("eddy_joiner_lateness_seconds 900.0\n") as two:
        assert await lateness_sec(f"{two},{one}") == 300
    with metrics("eddy_joiner_open_impressions 3\n") as old, pytest.raises(FatalError, match="upgrade it"):
        await lateness_sec(old)


def test_users_are_at_most_as_far_apart_as_the_joiner_allows() -> None:
    said = io.StringIO()
    options = within_lateness(ReplayOptions(), 300.0, Console(file=said, width=1000))
    assert options.max_skew_sec == 300
    assert "EDDY_JOINER_LATENESS_SEC=604800" in said.getvalue()
    quiet = io.StringIO()
    assert within_lateness(ReplayOptions(), 604_800.0, Console(file=quiet)) == ReplayOptions()
    assert quiet.getvalue() == ""
