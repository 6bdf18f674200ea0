"""The README says what is so: settings, commands and sizes are compared with the program."""

import gzip
import re
from pathlib import Path

import brotli
import pytest
import typer.main

from relay.cli import app
from relay.config import keys
from relay.web.tag import built_tag

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    table = README[README.index("### Settings") : README.index("### Commands")]
    written = set(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))
    named = {key for cell in written for key in re.findall(r"RELAY_[A-Z_]+", cell)}
    assert named == {f"RELAY_{name}" for name in (*keys.SITE, *keys.RELAY)}


def test_every_command_is_in_the_readme_and_no_other() -> None:
    table = README[README.index("### Commands") : README.index("### What happens to an event")]
    group = typer.main.get_command(app)
    assert set(re.findall(r"^\| `relay ([a-z]+)", table, re.MULTILINE)) == set(getattr(group, "commands", {}))


def test_the_tags_size_is_as_written() -> None:
    tag = built_tag()
    written = re.search(r"([\d,]+) bytes raw, ([\d,]+) gzip, ([\d,]+) brotli", README)
    assert written is not None
    raw, zipped, brotlied = (int(number.replace(",", "")) for number in written.groups())
    assert raw == len(tag)
    # Within 2 %: other builds of the libraries come to slightly other sizes.
    assert zipped == pytest.approx(len(gzip.compress(tag, 9)), rel=0.02)
    assert brotlied == pytest.approx(len(brotli.compress(tag, quality=11)), rel=0.02)
    assert f"weighs {raw / 1000:.1f} KB ({zipped / 1000:.1f} KB gzip, {brotlied / 1000:.1f} KB brotli)" in README


def test_both_commands_are_in_the_readme() -> None:
    assert ".venv/bin/relay demo" in README
    assert ".venv/bin/python -m tests" in README
