"""`eddy topics`: the topics of the configured Kafka."""

import asyncio
import json
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    topics = typer.Typer(help="Topics of the configured Kafka: create, check, ACLs.", no_args_is_help=True)
    topics.command("create")(create)
    topics.command("check")(check)
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


def acls(
    principal: Annotated[
        str, typer.Option(help="Principal of a service; {service} stands for its name.")
    ] = "User:eddy-{service}",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of kafka-acls.sh commands.")] = False,
) -> None:
    """Print the smallest set of ACLs that lets each service do its work, as kafka-acls.sh commands.

    `publishers` are your own applications: they write events and read recommendations.
    """
    from eddy.settings import Settings, load
    from eddy_cli.services import SERVICES
    from eddy_cli.topics.acls import acls as all_acls

    settings: dict[str, Settings] = {name: load(own) for name, own in SERVICES.items()}
    permissions = all_acls(settings, principal)
    if as_json:
        print(json.dumps([acl.as_dict() for acl in permissions], indent=2))
        return
    for acl in permissions:
        print(acl.line(settings["gateway"].kafka_bootstrap_servers))
