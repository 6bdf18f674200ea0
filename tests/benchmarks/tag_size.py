"""Size of the built tag, of its core and of the snippets in bytes. ``python -m tests.benchmarks.tag_size``."""

import gzip
import re

import brotli
from rich.console import Console
from rich.table import Table

from relay.config import Consent, Site
from relay.web.tag import built_tag, inline_snippet, snippet

URL = "https://r.shop.com"


def main() -> None:
    tag = built_tag()
    core = re.search(rb"core=(\d+)", tag)
    assert core, "static/dist/tag.js does not name the size of its core: npm run build in static/"
    table = Table("", "raw", "gzip 9", "brotli 11")
    table.add_row("the tag", *_sizes(tag))
    table.add_row("its core, without sources", "", "", f"{int(core[1]):,}")
    for consent in Consent:
        site = Site(site_id="shop", write_key="wk_live_3f9a2c", consent=consent)
        table.add_row(f"inline snippet, {consent}", *_sizes(inline_snippet(URL, site).encode()))
    table.add_row("one-line snippet", *_sizes(snippet(URL, site).encode()))
    Console().print(table)


def _sizes(text: bytes) -> tuple[str, ...]:
    return tuple(
        f"{size:,}" for size in (len(text), len(gzip.compress(text, 9)), len(brotli.compress(text, quality=11)))
    )


if __name__ == "__main__":
    main()
