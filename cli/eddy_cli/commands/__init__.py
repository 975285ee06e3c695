"""The commands of `eddy`: thin, each over functions of its own module, which it imports when it runs so that `eddy --help` is quick."""

from eddy_cli.commands.app import make_app

__all__ = ["make_app"]
