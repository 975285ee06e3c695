"""Passwords of Kafka users, from the environment."""

from collections.abc import Iterable, Mapping

from eddy.errors import ConfigError

# A password that somebody may guess would open Kafka to all who can reach it.
MIN_CHARS = 16
LOGIN = "eddy-{user}"


def variable_of(user: str) -> str:
    """The variable with the password of a user."""
    return f"KAFKA_PASSWORD_{user.upper().replace('-', '_')}"


def passwords_of(users: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Passwords by login. Raises ConfigError that names the variables without a password, and one that is too short."""
    variables = {user: variable_of(user) for user in users}
    if missing := [variable for variable in variables.values() if not environment.get(variable)]:
        raise ConfigError(
            f"{', '.join(missing)} not set. `make passwords` writes a file with a random password for each user."
        )
    for variable in variables.values():
        if len(environment[variable]) < MIN_CHARS:
            raise ConfigError(
                f"{variable} is shorter than {MIN_CHARS} characters. Take a random one: `openssl rand -hex 24`"
            )
    return {LOGIN.format(user=user): environment[variable] for user, variable in variables.items()}
