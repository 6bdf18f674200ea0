"""Size of the built tag: raw, gzip 9 and brotli 11 bytes. ``python -m tests.benchmarks.tag_size``."""

import gzip

import brotli
from rich.console import Console
from rich.table import Table

from relay.web.tag import built_tag


def main() -> None:
    tag = built_tag()
    table = Table("raw", "gzip 9", "brotli 11")
    sizes = (len(tag), len(gzip.compress(tag, 9)), len(brotli.compress(tag, quality=11)))
    table.add_row(*(f"{size:,}" for size in sizes))
    Console().print(table)


if __name__ == "__main__":
    main()
