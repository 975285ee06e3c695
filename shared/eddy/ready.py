"""`python -m eddy.ready 8002` exits with 0 if the service on that port is ready. For health checks of containers."""

import sys
import urllib.error
import urllib.request


def is_ready(url: str) -> bool:
    """Whether the service at `url` reports within two seconds that it is ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(f"http://127.0.0.1:{sys.argv[1]}") else 1)
