"""How the commands speak to whoever has typed them: standard output for answers, standard error for the rest."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def fail(message: str) -> NoReturn:
    """End the command with one line that says why."""
    err.print(f"[red]relay:[/red] {escape(message)}")
    raise typer.Exit(1)


def print_whole(table: Table) -> None:
    """Print all that ``table`` says: cells fold on a terminal that is narrow, and a file or a pipe is never narrow."""
    wide = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, width=wide).print(table)


def minute(at: float) -> str:
    """The time ``at`` (epoch seconds), the same to every operator."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def printable(text: str) -> str:
    """Text of an event as a terminal may get it: anybody can name an event, with control characters in it."""
    return escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


@contextlib.contextmanager
def told_of(logger: str) -> Iterator[None]:
    """Say how far a long piece of work is."""
    log, handler = logging.getLogger(logger), logging.Handler()
    handler.emit = lambda record: err.print(escape(record.getMessage()))  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
