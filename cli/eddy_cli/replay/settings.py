"""Where the replay finds the services' HTTP sides."""

from pydantic import Field

from eddy.settings import Settings


class ReplaySettings(Settings):
    """EDDY_LAB_*: everything else that the replay needs are its options."""

    lab_joiner_url: str = Field(
        "http://127.0.0.1:8003", description="HTTP side of the joiner; several, comma separated."
    )
    lab_ready_urls: str = Field(
        "", description="Services that must be ready before the replay starts: name=url, comma separated."
    )
