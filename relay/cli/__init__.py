"""The command line: the only code that prints."""

import typer

from relay.cli import evidence, people, replaying, running, setting_up

app = typer.Typer(
    name="relay",
    help="Backflow: a first-party tag and relay for Klaviyo, on your own domain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

#: In the order of ``relay --help``.
for command in (
    running.demo,
    running.serve,
    running.work,
    running.migrate,
    setting_up.doctor,
    setting_up.snippet,
    replaying.replay,
    people.forget,
    people.export,
    people.audit,
    evidence.explain,
    evidence.unlink,
):
    app.command()(command)


def main() -> None:
    """The ``relay`` command."""
    app()
