"""`python -m eddy_gateway`."""

from eddy.runtime import run_service
from eddy_gateway.app import main
from eddy_gateway.settings import GatewaySettings

if __name__ == "__main__":
    run_service("gateway", GatewaySettings, main)
