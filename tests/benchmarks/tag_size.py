"""Size of the built tags, of their core and of the snippets in bytes. ``python -m tests.benchmarks.tag_size``."""

import gzip

import brotli
from rich.console import Console
from rich.table import Table

from relay.config import Consent, Platform, Site
from relay.web.tag import build_report, built_tag, inline_snippet, snippet, with_settings

URL = "https://r.shop.com"


def main() -> None:
    table = Table("", "raw", "gzip 9", "brotli 11")
    for platform in Platform:
        site = _site(platform=platform)
        name = "the tag, for any shop" if platform is Platform.AUTO else f"the tag for {platform}"
        table.add_row(name, *_sizes(built_tag(platform)))
        table.add_row("  with a site's settings, as served", *_sizes(with_settings(built_tag(platform), site)))
    table.add_row("its core, without sources", "", "", f"{build_report()['sizes']['core']:,}")
    for consent in Consent:
        table.add_row(f"inline snippet, {consent}", *_sizes(inline_snippet(URL, _site(consent=consent)).encode()))
    table.add_row("one-line snippet", *_sizes(snippet(URL, _site()).encode()))
    Console().print(table)


def _site(consent: Consent = Consent.AUTO, platform: Platform = Platform.AUTO) -> Site:
    return Site(site_id="shop", write_key="wk_live_3f9a2c", consent=consent, platform=platform)


def _sizes(text: bytes) -> tuple[str, ...]:
    return tuple(
        f"{size:,}" for size in (len(text), len(gzip.compress(text, 9)), len(brotli.compress(text, quality=11)))
    )


if __name__ == "__main__":
    main()
