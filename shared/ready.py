"""`python -m shared.ready 8002`: whether the service on that port is ready, as the exit code. For health checks of containers."""

import sys
import urllib.error
import urllib.request


def main(port: str) -> int:
    """0 when /readyz says so within two seconds."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return 0
    except (urllib.error.URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
