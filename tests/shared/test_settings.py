"""Settings: typed, frozen, and strict about names."""

import pytest
from pydantic import Field, ValidationError

from eddy.errors import ConfigError
from eddy.settings import Settings, load


class JoinerLike(Settings):
    joiner_http_port: int = Field(8003, ge=1)


def test_values_come_from_the_environment() -> None:
    settings = load(JoinerLike, {"EDDY_JOINER_HTTP_PORT": "9", "EDDY_TOPIC_PREFIX": "a.", "HOME": "/"})
    assert (settings.joiner_http_port, settings.topic_prefix) == (9, "a.")


@pytest.mark.parametrize("name", ["EDDY_TOPIC_PREFFIX", "EDDY_JOINER_HTTP_PROT", "EDDY_NONSENSE"])
def test_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load(JoinerLike, {name: "1"})


def test_another_services_setting_is_left_alone() -> None:
    assert load(JoinerLike, {"EDDY_SCORER_HTTP_PORT": "5"}).joiner_http_port == 8003


def test_bad_value_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="EDDY_JOINER_HTTP_PORT"):
        load(JoinerLike, {"EDDY_JOINER_HTTP_PORT": "zero"})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load(JoinerLike, {}).topic_prefix = "b"  # type: ignore[misc]


def test_a_misspelt_name_is_answered_with_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"EDDY_LOG_LEVL. Did you mean EDDY_LOG_LEVEL\?"):
        load(Settings, {"EDDY_LOG_LEVL": "debug"})
