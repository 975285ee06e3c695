"""The commands of `eddy`. Each imports the module that does the work when it runs, so that `eddy --help` is fast."""

from eddy_cli.commands.app import make_app

__all__ = ["make_app"]
