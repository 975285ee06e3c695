"""Settings of the replay: addresses of services."""

from pydantic import Field

from eddy.settings import Settings


class ReplaySettings(Settings):
    """EDDY_REPLAY_*: settings of the replay; its other parameters are command-line options."""

    replay_joiner_url: str = Field(
        "http://127.0.0.1:8003", description="URLs of the joiners, comma separated, to read their open impressions."
    )
    replay_ready_urls: str = Field(
        "", description="Services that must be ready before the replay starts: name=url, comma separated."
    )
