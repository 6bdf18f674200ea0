"""What every command is given: the settings, the sites it is for, the store, and a loop to run in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from relay.app import open_store
from relay.cli.terminal import err, fail
from relay.config import Settings, Site, unknown_keys
from relay.errors import BackflowError, SettingsError
from relay.store.base import Store

T = TypeVar("T")

SiteOption = Annotated[str | None, typer.Option("--site", help="Only this site (default: every site).")]


def read_settings() -> Settings:
    """The settings, or the end of the command; a key that is none is told."""
    try:
        for key in unknown_keys():
            err.print(f"[yellow]relay:[/yellow] {escape(key)} is not a setting; is it spelled right?")
        return Settings.read()
    except SettingsError as error:
        fail(str(error))


def chosen(settings: Settings, site_id: str | None) -> tuple[Site, ...]:
    """The sites that the command is for."""
    sites = tuple(site for site in settings.sites if site_id in (None, site.site_id))
    if not sites:
        fail(f"--site: expected one of {', '.join(site.site_id for site in settings.sites)}")
    return sites


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The store, closed again whatever happens."""
    store = open_store(settings)
    try:
        yield store
    finally:
        await store.close()


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end; an error of ours is told in one line."""
    try:
        return asyncio.run(coroutine)
    except BackflowError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
