"""`eddy`, also as `python -m eddy_cli`."""

from eddy_cli.commands import make_app
from eddy_cli.console import end_at_signals


def main() -> None:
    """The entry point of the package."""
    end_at_signals()
    make_app()(prog_name="eddy")


if __name__ == "__main__":
    main()
