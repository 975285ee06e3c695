"""`eddy doctor`."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command("doctor", rich_help_panel="Start here")(doctor)


def doctor() -> None:
    """Check this machine and the configured Kafka: one line each, with the remedy. Exit code 1 if there is a problem."""
    from eddy_cli.doctor import examine
    from eddy_cli.doctor.finding import Verdict

    failed = False
    for finding in examine():
        print(finding, flush=True)
        failed = failed or finding.verdict is Verdict.WRONG
    raise typer.Exit(1 if failed else 0)
