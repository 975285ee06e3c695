"""Settings: typed, frozen, and strict about names."""

import pytest
from pydantic import Field, ValidationError

from eddy.errors import ConfigError
from eddy.settings import FORMER_NAMES, Settings, load
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.services import SERVICES


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


@pytest.mark.parametrize(("present", "former"), FORMER_NAMES.items())
def test_a_former_name_sets_the_renamed_setting(present: str, former: str) -> None:
    field = present.removeprefix("EDDY_").lower()
    settings = next(
        settings for settings in (Settings, *SERVICES.values(), ReplaySettings) if field in settings.model_fields
    )
    loaded = load(settings, {former: "17"})
    assert loaded == load(settings, {present: "17"})
    assert loaded.model_fields_set == {field}


def test_bad_value_under_a_former_name_names_the_variable_that_is_set() -> None:
    former = "EDDY_TRAINER_SHED_REPLAY_LAG"
    with pytest.raises(ConfigError, match=f"^{former}: "):
        load(SERVICES["trainer"], {former: "many"})


def test_setting_under_both_names_is_refused() -> None:
    present, former = next(iter(FORMER_NAMES.items()))
    with pytest.raises(ConfigError, match=f"{present} and {former}"):
        load(Settings, {present: "1", former: "2"})


def test_misspelt_setting_suggests_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"EDDY_LOG_LEVL. Did you mean EDDY_LOG_LEVEL\?"):
        load(Settings, {"EDDY_LOG_LEVL": "debug"})
