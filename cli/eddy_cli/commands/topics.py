"""`eddy topics`: the topics of the configured Kafka."""

import asyncio
import json
import os
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    topics = typer.Typer(help="Topics of the configured Kafka: create, check, users, ACLs.", no_args_is_help=True)
    topics.command("create")(create)
    topics.command("check")(check)
    topics.command("users")(users)
    topics.command("acls")(acls)
    app.add_typer(topics, name="topics", rich_help_panel="Kafka")


def create() -> None:
    """Create the topics of schemas/topics.yaml that are missing."""
    from eddy.contract.topics import topics
    from eddy.kafka.bus import Bus
    from eddy.settings import Settings, load

    bus = Bus(load(Settings))
    asyncio.run(bus.create_topics())
    print(f"{len(topics())} topics are on {bus.servers}, each with {bus.partitions} partitions")


def check() -> None:
    """Compare partitions and settings with schemas/topics.yaml: one line per problem, with the remedy. Exit code 1 if there is one."""
    from eddy.contract.topics import topics
    from eddy.settings import Settings, load
    from eddy_cli.topics.check import check_topics

    settings = load(Settings)
    problems = asyncio.run(check_topics(settings))
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"all {len(topics())} topics on {settings.kafka_bootstrap_servers} match schemas/topics.yaml")


def users(
    registry: Annotated[
        bool, typer.Option(help="Also the user of a schema registry that stores schemas in Kafka.")
    ] = False,
) -> None:
    """Create the Kafka users of services, applications and tools, or change their passwords.

    The user eddy-NAME gets the password in the variable KAFKA_PASSWORD_NAME. The login of the settings must be an administrator's.
    """
    from eddy.settings import Settings, load
    from eddy_cli.topics.acls import REGISTRY, USERS
    from eddy_cli.topics.administration import create_users
    from eddy_cli.topics.passwords import passwords_of

    passwords = passwords_of((*USERS, *([REGISTRY] if registry else [])), os.environ)
    create_users(load(Settings), passwords)
    print(f"{len(passwords)} Kafka users can log in: {', '.join(passwords)}")


def acls(
    principal: Annotated[
        str,
        typer.Option(help="Principal of a user; {user} stands for its name, that of a service, publishers or tools."),
    ] = "User:eddy-{user}",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of kafka-acls.sh commands.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Create the ACLs instead of printing them.")] = False,
    registry: Annotated[
        bool, typer.Option(help="Also those of a schema registry that stores schemas in Kafka.")
    ] = False,
) -> None:
    """Print or create the smallest set of ACLs that lets each service do its work; printed as kafka-acls.sh commands.

    `publishers` are your own applications: they write events and read recommendations. `tools` are commands of `eddy`: replay, check.
    """
    from eddy.settings import Settings, load
    from eddy_cli.services import SERVICES
    from eddy_cli.topics.acls import acls as all_acls

    settings: dict[str, Settings] = {name: load(own) for name, own in SERVICES.items()}
    permissions = all_acls(settings, principal, registry)
    servers = settings["gateway"].kafka_bootstrap_servers
    if apply:
        from eddy_cli.topics.administration import apply_acls

        apply_acls(settings["gateway"], permissions)
        print(f"{len(permissions)} ACLs are on {servers}")
    elif as_json:
        print(json.dumps([acl.as_dict() for acl in permissions], indent=2))
    else:
        for acl in permissions:
            print(acl.line(servers))
