"""Free ports."""

import random
import socket

from eddy.errors import FatalError

HOST = "127.0.0.1"
# Below the ports of outgoing connections, which the system could assign before the owner of the port listens.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200
# Not seeded: two runs with the same seed must not use the same ports.
_choice = random.SystemRandom().choice


def free_port() -> int:
    """A free port of the loopback interface. Raises FatalError if there is none."""
    for _ in range(_ATTEMPTS):
        port = _choice(_RANGE)
        if can_listen(port):
            return port
    raise FatalError(
        f"no free port between {_RANGE.start} and {_RANGE.stop} in {_ATTEMPTS} attempts. Stop programs that listen there."
    )


def can_listen(port: int) -> bool:
    """Whether a process can listen on `port`."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def is_listened_on(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
