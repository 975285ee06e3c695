"""Settings of the replay: addresses of services."""

from pydantic import Field

from eddy.settings import Settings


class ReplaySettings(Settings):
    """EDDY_LAB_*: settings of the replay; its other parameters are command-line options."""

    lab_joiner_url: str = Field("http://127.0.0.1:8003", description="HTTP addresses of the joiners, comma separated.")
    lab_ready_urls: str = Field(
        "", description="Services that must be ready before the replay starts: name=url, comma separated."
    )
