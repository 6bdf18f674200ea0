"""The command line: what it says, how it ends, and that it never shows a traceback or a secret."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from asyncio.subprocess import PIPE, Process
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from typer.testing import CliRunner, Result

from e2e.servers import free_port
from relay import doctor
from relay.cli import app
from relay.config import Secret, Settings, Site
from tests.integration.world import CART, HOUR, KLAVIYO_KEY, LAMP, ORIGIN, SERVER_KEY, WRITE_KEY, World, in_world

ANN = "ann@mail.com"
SIGNING_KEY = "a-key-for-signing-in-tests"
ROOT = Path(__file__).parents[2]
SECRET_VALUES = (SIGNING_KEY, SERVER_KEY, KLAVIYO_KEY)
GOOD = {"RELAY_SECRET_KEYS": SIGNING_KEY, "RELAY_WRITE_KEY": WRITE_KEY, "RELAY_DATABASE_URL": "sqlite:///relay.db"}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's, in a folder without ``.env``."""
    for name in list(os.environ):
        if name.startswith("RELAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, **environment: str | None) -> Result:
    """Run a command with good settings, changed by ``environment`` (None takes one away)."""
    values = {name: value for name, value in (GOOD | environment).items() if value is not None}
    result = CliRunner().invoke(app, list(arguments), env=values)
    assert "Traceback" not in result.output
    assert not any(secret in result.output for secret in SECRET_VALUES)
    return result


async def run_beside(world: World, *arguments: str, **environment: str | None) -> Result:
    """Run a command on the world's database and sandbox, while both are open."""
    return await asyncio.to_thread(run, *arguments, **(of(world) | environment))


def of(world: World) -> dict[str, str]:
    """The world's settings as an operator would write them."""
    return GOOD | {
        "RELAY_DATABASE_URL": f"sqlite:///{world.store.path}",
        "RELAY_KLAVIYO_API_KEY": KLAVIYO_KEY,
        "RELAY_KLAVIYO_URL": world.sandbox.url,
        "RELAY_ALLOWED_ORIGINS": "http://localhost:8480",
        "RELAY_HOLD_SECONDS": "0",
    }


async def start(world: World, *arguments: str, **environment: str) -> Process:
    """A relay process of its own."""
    values = os.environ | of(world) | environment | {"PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *arguments, env=values, stdout=PIPE, stderr=PIPE
    )


async def line_with(process: Process, words: str) -> str:
    """The first line of the process's log with these words."""
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if words in line:
            return line
    raise AssertionError(f"the process ended without saying {words!r}")


async def dead_cart(world: World) -> None:
    """One delivery that Klaviyo has refused for good."""
    world.clock._now = time.time()  # the commands live in real time
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.settle()
    await world.sandbox.script("/api/events", status=400)
    await shopper.add_to_cart()
    await world.settle()
    assert ("Added to Cart", "dead", "refused") in await world.fates()


# Settings


OF_A_PERSON = ("forget", "export", "explain", "unlink")


@pytest.mark.parametrize("command", ["serve", "work", "migrate", "doctor", "replay", "audit", *OF_A_PERSON])
def test_every_command_names_a_missing_setting(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.cli.running.set_up_logging", lambda: None)
    result = run(command, *([ANN] if command in OF_A_PERSON else []), RELAY_SECRET_KEYS=None)
    assert result.exit_code == 1
    assert "relay: RELAY_SECRET_KEYS: is missing" in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("RELAY_WRITE_KEY", None, id="no write key"),
        pytest.param("RELAY_WRITE_KEY", "two words", id="write key"),
        pytest.param("RELAY_DATABASE_URL", "mysql://root:s3cret@db/relay", id="database"),
        pytest.param("RELAY_KLAVIYO_URL", "klaviyo", id="Klaviyo's address"),
        pytest.param("RELAY_FORWARD", "most", id="forward"),
        pytest.param("RELAY_HOLD_SECONDS", "soon", id="hold"),
        pytest.param("RELAY_HOLD_SECONDS", "-1", id="negative hold"),
        pytest.param("RELAY_CONSENT", "maybe", id="consent"),
        pytest.param("RELAY_PLATFORM", "prestashop", id="platform"),
        pytest.param("RELAY_ALLOWED_ORIGINS", "shop.com/path", id="origin"),
        pytest.param("RELAY_COOKIE_DOMAIN", "shop", id="cookie domain"),
        pytest.param("RELAY_COUNTRY", "Germany", id="country"),
        pytest.param("RELAY_PORT", "70000", id="port"),
        pytest.param("RELAY_PATH_PREFIX", "a b", id="path prefix"),
        pytest.param("RELAY_TRUSTED_PROXIES", "proxy", id="proxies"),
        pytest.param("RELAY_CONFIG", "missing.toml", id="file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str | None) -> None:
    result = run("migrate", **{name: value})
    assert result.exit_code == 1
    assert name in result.output
    assert "s3cret" not in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "relay.db").mkdir()
    result = run("migrate")
    assert result.exit_code == 1
    assert "RELAY_DATABASE_URL" in result.output


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_text("these are notes, and no database" * 100)
    result = run("doctor")
    assert result.exit_code == 1
    assert "RELAY_DATABASE_URL" in result.output


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("demo", "serve", "work", "migrate", "doctor", "replay", "forget", "export", "audit"):
        assert command in result.output


# The database


@in_world(hold_seconds=0)
async def test_migrating_again_is_harmless(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.process()
    for _ in range(2):
        result = await run_beside(world, "migrate")
        assert result.exit_code == 0
        assert "present schema" in result.output
    await shopper.add_to_cart()
    await world.settle()
    assert world.emails(CART) == [ANN]


# Doctor


@in_world()
async def test_doctor_finds_a_healthy_relay_healthy(world: World) -> None:
    result = await run_beside(world, "doctor", RELAY_CONSOLE_PASSWORD="open sesame")
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.output
    assert "the API key is accepted and may read profiles" in result.output
    assert "open sesame" not in result.output
    assert world.sandbox.account.events == []
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_doctor_says_what_a_key_may_not_do(world: World) -> None:
    world.sandbox.without("profiles:read")
    result = await run_beside(world, "doctor")
    assert result.exit_code == 0
    assert "profiles:read" in result.output


@pytest.mark.parametrize("switch", ["RELAY_CREATE_PROFILES", "RELAY_UPDATE_PROFILES"])
@in_world()
async def test_doctor_fails_when_klaviyo_has_to_be_asked_first_and_may_not_be(world: World, switch: str) -> None:
    world.sandbox.without("profiles:read")
    result = await run_beside(world, "doctor", **{switch: "off"})
    assert result.exit_code == 1
    assert f"deliveries wait (to ask whether a profile is there: {switch} off)" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, "events:write, profiles:write. Only if"),
        ({"create_profiles": False}, "profiles:read (to ask whether a profile is there: RELAY_CREATE_PROFILES off). "),
        (
            {"create_profiles": False, "update_profiles": False},
            "RELAY_CREATE_PROFILES and RELAY_UPDATE_PROFILES off). ",
        ),
    ],
    ids=["plain", "no new profiles", "no changes either"],
)
def test_doctor_says_which_scopes_the_settings_need(settings: dict[str, Any], needed: str) -> None:
    said = doctor.scopes(Site(site_id="shop", write_key=WRITE_KEY, **settings))
    assert needed in said
    assert all(scope in said for scope in ("lists:write", "lists:read", "subscriptions:write", "data-privacy:write"))


@in_world()
async def test_doctor_tells_what_the_books_say_of_the_shops_own_calls(world: World) -> None:
    await world.server(
        {"type": "identify", "traits": {"email": "info@shop.com", "phone": "12", "subscribe": "true"}},
        {"type": "track", "event": "Quiz Done", "context": {"traits": {"email": ANN}}},
    )
    await world.process()
    metrics, *calls = await doctor._books(world.site, world.store)
    assert (metrics.state, metrics.text) == ("ok", "1 of the 140 this shop may make")
    assert {check.state for check in calls} == {"warning"}
    said = [check.text for check in calls]
    for words in ("a mailbox of a role", "a phone number that is none", "subscribe was neither true nor false"):
        assert [text for text in said if text.startswith(f"once {words}")]
    assert len(said) == 3
    assert "info@shop.com" not in str(said)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param({"RELAY_KLAVIYO_API_KEY": "pk_wrong"}, "not accepted (401)", id="wrong key"),
        pytest.param({"RELAY_KLAVIYO_API_KEY": None}, "RELAY_KLAVIYO_API_KEY is not set", id="no key"),
        pytest.param({"RELAY_KLAVIYO_URL": "http://127.0.0.1:9"}, "does not answer", id="nobody there"),
    ],
)
@in_world()
async def test_doctor_fails_when_nothing_can_be_delivered(
    world: World, environment: dict[str, str | None], words: str
) -> None:
    result = await run_beside(world, "doctor", **environment)
    assert result.exit_code == 1
    assert words in result.output
    assert "pk_wrong" not in result.output


@in_world()
async def test_doctor_warns_where_no_browser_may_send(world: World) -> None:
    result = await run_beside(world, "doctor", RELAY_ALLOWED_ORIGINS=None)
    assert result.exit_code == 0
    assert "RELAY_ALLOWED_ORIGINS is empty" in result.output


@in_world()
async def test_doctor_warns_of_cookies_that_are_not_secure(world: World) -> None:
    result = await run_beside(world, "doctor", RELAY_ALLOWED_ORIGINS="http://127.0.0.1:8480,http://localhost:1")
    assert "http://127.0.0.1:8480 is not https" in result.output
    assert "http://localhost:1 is not https" not in result.output


@pytest.mark.parametrize(
    ("shop", "relay", "name", "prefix", "state", "words"),
    [
        pytest.param("203.0.113.9", "203.0.7.7", "", "", "ok", "400 days", id="same /16"),
        pytest.param("203.0.113.9", "203.1.113.9", "", "", "warning", "7 days", id="another /16"),
        pytest.param("2001:db8:1:2::9", "2001:db8:1:2:ffff::1", "", "", "ok", "400 days", id="same /64"),
        pytest.param("2001:db8:1:2::9", "2001:db8:1:3::9", "", "", "warning", "7 days", id="another /64"),
        pytest.param("203.0.113.9", "2001:db8::1", "", "", "warning", "7 days", id="two families"),
        pytest.param("203.0.113.9", "203.0.7.7", "x.vendor.net", "", "warning", "x.vendor.net: 7", id="foreign CNAME"),
        pytest.param("203.0.113.9", "203.0.7.7", "x.shop.example.com", "", "ok", "400 days", id="own CNAME"),
        pytest.param("203.0.113.9", "198.51.100.1", "", "/_r", "warning", "7 days", id="a path of another host"),
    ],
)
def test_doctor_tells_what_safari_does_with_the_cookie(
    monkeypatch: pytest.MonkeyPatch, shop: str, relay: str, name: str, prefix: str, state: str, words: str
) -> None:
    def getaddrinfo(host: str, port: int, flags: int) -> list[Any]:
        if host == "shop.example.com":
            return [(0, 0, 0, "", (shop, port))]
        return [(0, 0, 0, name, (relay, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    site = Site(site_id="shop", write_key=WRITE_KEY)
    settings = Settings(secret_keys=(Secret(SIGNING_KEY),), sites=(site,), path_prefix=prefix)
    check = doctor._cookie_life(ORIGIN, settings, "relay.example.com")
    assert (check.state, words in check.text) == (state, True)
    asked = doctor._cookie_life(ORIGIN, settings, None)
    assert ("path of the shop" if prefix else "--relay-url") in asked.text
    own = doctor._cookie_life(ORIGIN, settings, "shop.example.com")
    assert (own.state, "path of the shop" in own.text) == ("ok", True)


# Replay


@in_world(hold_seconds=0, site_id="default")
async def test_replay_puts_dead_deliveries_back(world: World) -> None:
    await dead_cart(world)
    result = await run_beside(world, "replay")
    assert result.exit_code == 0
    assert result.output.startswith("1 deliveries put back")
    world.clock._now = time.time()
    await world.settle()
    assert world.emails(CART) == [ANN]
    assert (await run_beside(world, "replay")).output.startswith("0 deliveries")


@pytest.mark.parametrize(
    ("options", "n"),
    [
        pytest.param(["--reason", "refused"], 1, id="its reason"),
        pytest.param(["--reason", "retries_exhausted"], 0, id="another reason"),
        pytest.param(["--metric", "Added to Cart"], 1, id="its metric"),
        pytest.param(["--metric", "Placed Order"], 0, id="another metric"),
        pytest.param(["--since-hours", "1"], 1, id="since then"),
        pytest.param(["--since-hours", "0"], 0, id="since now"),
        pytest.param(["--site", "default"], 0, id="another site"),
    ],
)
@in_world(hold_seconds=0, site_id="default")
async def test_replay_puts_back_only_what_is_asked_for(world: World, options: list[str], n: int) -> None:
    await dead_cart(world)
    if options == ["--site", "default"]:
        await world.store.transact(lambda tx: tx.connection.execute("UPDATE deliveries SET site_id = 'shop'"))
    result = await run_beside(world, "replay", *options)
    assert result.output.startswith(f"{n} deliveries")


OLD_CART, OLDER_VIEW, NEW_VIEW = "a cart, 78 hours ago", "a view, 50 hours ago", "a view, 1 hour ago"


async def three_deaths(world: World) -> dict[str, int]:
    """Three deliveries that died at different times, one of them because Klaviyo never answered; by their names."""
    world.clock.jump(time.time() - 150 * HOUR - world.clock.now())
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.settle()
    await world.sandbox.script("/api/events", status=500, times=12, body={"errors": [{"code": "down"}]})
    begun = world.clock.now()
    await shopper.add_to_cart()
    await world.settle()
    for _ in range(10):
        (cart,) = await world.deliveries("Added to Cart")
        await world.settle(cart["due_at"] - world.clock.now())
    await world.settle(begun + 72 * HOUR - world.clock.now() - 1)
    assert await world.sandbox.unmet() == []
    detail = {"code": "invalid", "detail": f"{ANN} is odd", "source": {"pointer": "/data/attributes/time"}}
    for hours_ago in (50, 1):
        world.clock.advance(time.time() - hours_ago * HOUR - world.clock.now())
        await world.sandbox.script("/api/events", status=400, body={"errors": [detail]})
        await shopper.track("Product Viewed", LAMP)
        await world.settle()
    world.clock.advance(time.time() - world.clock.now())
    dead = [row for row in await world.deliveries() if row["state"] == "dead"]
    assert [row["reason"] for row in dead] == ["retries_exhausted", "refused", "refused"]
    return dict(zip((OLD_CART, OLDER_VIEW, NEW_VIEW), [row["delivery_id"] for row in dead], strict=True))


def table(result: Result) -> list[list[str]]:
    """The rows of what was listed: site, what, how many, reason, Klaviyo's answer."""
    rows = [line.split("  ") for line in result.output.splitlines() if line.strip().startswith("default ")]
    return [[cell.strip() for cell in row if cell.strip()][:5] for row in rows]


@in_world(hold_seconds=0, site_id="default")
async def test_the_dead_are_listed_with_what_they_died_of_and_stay_dead(world: World) -> None:
    await three_deaths(world)
    before = await world.deliveries()
    result = await run_beside(world, "replay", "--list")
    assert result.exit_code == 0
    assert table(result) == [
        ["default", "Viewed Product", "2", "refused", "400 invalid /data/attributes/time"],
        ["default", "Added to Cart", "1", "retries_exhausted", "500 down"],
    ]
    died = datetime.fromtimestamp(time.time() - HOUR, UTC).strftime("%Y-%m-%d")
    assert died in result.output, "when the last one died"
    assert "refused: Klaviyo will not take this body; the answer names the field." in result.output
    assert "retries_exhausted: Klaviyo did not answer for three days." in result.output
    assert ANN not in result.output
    assert "is odd" not in result.output, "Klaviyo's own words may quote an address"
    assert await world.deliveries() == before


@pytest.mark.parametrize("columns", [40, 80, 200])
@in_world(hold_seconds=0, site_id="default")
async def test_a_narrow_terminal_is_told_all_that_the_list_says(world: World, columns: int) -> None:
    await three_deaths(world)
    lines = await asyncio.to_thread(on_a_terminal, columns, of(world), "replay", "--list")
    assert max(map(len, lines)) <= columns
    for words in ("Viewed Product", "retries_exhausted", "400 invalid /data/attributes/time", "500 down"):
        assert stands_in_a_column(lines, words), words


@pytest.mark.parametrize("columns", ["40", None])
@in_world(hold_seconds=0, site_id="default")
async def test_a_list_that_goes_to_a_pipe_has_whole_lines(world: World, columns: str | None) -> None:
    await three_deaths(world)
    process = await start(world, "replay", "--list", **({"COLUMNS": columns} if columns else {}))
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    (line,) = (line for line in out.decode().splitlines() if "Viewed Product" in line)
    assert line.split()[:-3] == [
        "default",
        "Viewed",
        "Product",
        "2",
        "refused",
        "400",
        "invalid",
        "/data/attributes/time",
    ]


def on_a_terminal(columns: int, settings: dict[str, str], *arguments: str) -> list[str]:
    """The lines of the list that a command prints on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 25, columns, 0, 0))
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "relay", *arguments]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while part := os.read(ours, 10_000):
                said += part
    os.close(ours)
    assert process.returncode == 0, said.decode()
    listed = click.unstyle(said.decode()).partition("refused: ")[0]
    return [line.rstrip() for line in listed.splitlines()]


def stands_in_a_column(lines: list[str], words: str) -> bool:
    """Whether the words are there, folded as they may be, between some two columns of the screen."""
    wanted, width = words.replace(" ", ""), max(map(len, lines))
    spans = ((a, b) for a in range(width) for b in range(a + 1, width + 1))
    return any(wanted in "".join(line[a:b] for line in lines).replace(" ", "") for a, b in spans)


def test_a_list_of_no_dead_says_so() -> None:
    result = run("replay", "--list")
    assert (result.exit_code, result.output.strip()) == (0, "No delivery is dead.")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param([], {OLD_CART, OLDER_VIEW, NEW_VIEW}, id="everything"),
        pytest.param(["--reason", "refused"], {OLDER_VIEW, NEW_VIEW}, id="reason"),
        pytest.param(["--reason", "retries_exhausted"], {OLD_CART}, id="other reason"),
        pytest.param(["--metric", "Viewed Product"], {OLDER_VIEW, NEW_VIEW}, id="metric"),
        pytest.param(["--metric", "Placed Order"], set(), id="metric of none"),
        pytest.param(["--since-hours", "2"], {NEW_VIEW}, id="since"),
        pytest.param(["--since-hours", "60"], {OLDER_VIEW, NEW_VIEW}, id="since longer ago"),
        pytest.param(["--until-hours", "2"], {OLD_CART, OLDER_VIEW}, id="until"),
        pytest.param(["--until-hours", "60"], {OLD_CART}, id="until longer ago"),
        pytest.param(["--since-hours", "60", "--until-hours", "2"], {OLDER_VIEW}, id="between"),
        pytest.param(["--since-hours", "2", "--until-hours", "60"], set(), id="no time between"),
        pytest.param(["--reason", "refused", "--until-hours", "2"], {OLDER_VIEW}, id="reason and time"),
        pytest.param(["--reason", "refused", "--metric", "Added to Cart"], set(), id="reason and metric of none"),
    ],
)
@in_world(hold_seconds=0, site_id="default")
async def test_replay_lists_and_puts_back_the_named_and_no_other(
    world: World, options: list[str], named: set[str]
) -> None:
    dead = await three_deaths(world)
    listed = await run_beside(world, "replay", "--list", *options)
    assert sum(int(row[2]) for row in table(listed)) == len(named)
    assert ("No delivery is dead." in listed.output) == (not named)

    result = await run_beside(world, "replay", *options)
    assert result.output.startswith(f"{len(named)} deliveries")
    rows = {row["delivery_id"]: row for row in await world.deliveries()}
    assert {name for name, each in dead.items() if rows[each]["state"] == "ready"} == named
    assert {name for name, each in dead.items() if rows[each]["state"] == "dead"} == dead.keys() - named
    assert {rows[dead[name]]["attempts"] for name in named} <= {0}

    before = len(world.received())
    world.clock.advance(time.time() - world.clock.now())
    await world.settle()
    assert len(world.received()) == before + len(named), "each arrives once"
    assert {event.deduplicated_repeats for event in world.received()} <= {0}
    assert (await run_beside(world, "replay", *options)).output.startswith("0 deliveries")


@pytest.mark.parametrize("command", [["replay"], ["forget", ANN]], ids=["replay", "forget"])
def test_a_site_that_does_not_exist_is_refused(command: list[str]) -> None:
    result = run(*command, "--site", "nowhere")
    assert result.exit_code == 1
    assert "--site: expected one of default" in result.output


# Forget


@in_world(hold_seconds=0, site_id="default")
async def test_forget_erases_here_and_at_klaviyo(world: World) -> None:
    world.clock._now = time.time() - 60
    await world.browser().identify(email=ANN)
    await world.settle()
    result = await run_beside(world, "forget", ANN)
    assert result.exit_code == 0
    assert "Erased on 1 site(s)" in result.output
    assert ANN not in result.output
    assert await world.rows("SELECT * FROM identifiers") == []
    world.clock._now = time.time()
    await world.settle()
    assert list(world.sandbox.account.profiles) == []


def test_forget_refuses_what_is_no_address() -> None:
    result = run("forget", "ann at mail")
    assert result.exit_code == 1
    assert "relay: EMAIL: expected an e-mail address" in result.output
    assert "ann at mail" not in result.output


# Export and audit


@in_world(hold_seconds=0, site_id="default")
async def test_export_prints_everything_as_json_and_nothing_else(world: World) -> None:
    world.clock._now = time.time() - 60
    await world.browser().identify(email=ANN, firstName="Annabel")
    await world.settle()
    result = await run_beside(world, "export", f" {ANN.upper()}")
    assert result.exit_code == 0
    assert result.stderr == ""
    held = json.loads(result.stdout)["sites"]["default"]
    assert [each["value"] for each in held["identifiers"]] == [ANN]
    assert held["persons"][0]["traits"] == {"email": ANN, "firstName": "Annabel"}
    assert len(held["journal"]) == 1


def test_export_refuses_what_is_no_address() -> None:
    result = run("export", "ann at mail")
    assert result.exit_code == 1
    assert "relay: EMAIL: expected an e-mail address" in result.output
    assert "ann at mail" not in result.output


@in_world(hold_seconds=0, site_id="default")
async def test_audit_lists_what_was_asked_about_whom_only_whoever_knows_the_address(world: World) -> None:
    assert "Nobody has asked" in (await run_beside(world, "audit")).output
    await world.browser().identify(email=ANN)
    await world.process()
    for command in ("export", "forget"):
        assert (await run_beside(world, command, ANN)).exit_code == 0
    everything = await run_beside(world, "audit")
    about_ann = await run_beside(world, "audit", ANN)
    for result in (everything, about_ann):
        assert result.exit_code == 0
        assert ANN not in result.output
        assert "1 identifiers" in result.output
    assert about_ann.output == everything.output
    words = everything.output.split()
    assert (words.count("erasure"), words.count("export"), words.count("operator,")) == (1, 1, 2)
    assert words.index("erasure") < words.index("export"), "the newest first"
    assert "1 erasure(s), 1 export(s)" in (await run_beside(world, "doctor")).output
    assert "Nothing was asked about them" in (await run_beside(world, "audit", "bob@mail.com")).output


# Keys


@pytest.mark.parametrize("command", ["serve", "work", "migrate", "doctor", "replay", "forget", "export", "audit"])
@in_world(hold_seconds=0, site_id="default")
async def test_every_command_stops_where_the_keys_do_not_open_what_is_kept(world: World, command: str) -> None:
    named = [ANN] if command in ("forget", "export") else []
    process = await start(world, command, *named, RELAY_SECRET_KEYS="another-signing-key")
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "RELAY_SECRET_KEYS: none of these keys opens the data of site default" in " ".join(said.decode().split())
    assert "another-signing-key" not in said.decode()


@in_world(hold_seconds=0, site_id="default")
async def test_a_renewed_key_opens_what_the_old_one_closed(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.process()
    both = await run_beside(world, "doctor", RELAY_SECRET_KEYS=f"a-newer-signing-key,{SIGNING_KEY}")
    assert "Data keys: RELAY_SECRET_KEYS opens the data of default" in both.output
    alone = await run_beside(world, "export", ANN, RELAY_SECRET_KEYS="a-newer-signing-key")
    assert ANN in alone.stdout
    assert (await run_beside(world, "migrate")).exit_code == 1, "the old one is of no use any more"


# Processes


@in_world(hold_seconds=0, site_id="default")
async def test_work_takes_over_what_a_dead_process_was_sending_and_ends_cleanly(world: World) -> None:
    world.clock._now = time.time()
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.track("Product Added", LAMP)
    await world.process()
    assert len(await world.store.transact(world.claim)) == 1
    worker = await start(world, "work")
    await line_with(worker, "took back deliveries of an earlier process")
    while not world.received(CART):
        await world.sandbox.account.changed(20.0)
    worker.send_signal(signal.SIGTERM)
    _, log = await worker.communicate()
    assert worker.returncode == 0, log.decode()
    assert world.emails(CART) == [ANN]
    assert {row["state"] for row in await world.deliveries()} == {"delivered"}


@in_world()
async def test_a_second_worker_on_the_same_database_is_refused_in_one_line(world: World) -> None:
    lock = world.store.leases(lambda bell: None)
    worker = await start(world, "work")
    _, log = await worker.communicate()
    lock.release()
    assert worker.returncode == 1
    assert log.decode().startswith("relay: RELAY_DATABASE_URL: another relay is at work on this database")
    assert len(log.decode().strip().splitlines()) == 1


@in_world()
async def test_a_second_server_on_the_same_database_is_refused_without_a_traceback(world: World) -> None:
    lock = world.store.leases(lambda bell: None)
    server = await start(world, "serve", RELAY_PORT=str(free_port()))
    _, log = await server.communicate()
    lock.release()
    assert server.returncode == 1
    assert "RELAY_DATABASE_URL: another relay is at work on this database" in log.decode()
    assert "Traceback" not in log.decode()


@in_world()
async def test_a_server_that_only_collects_may_run_beside_a_worker(world: World) -> None:
    lock = world.store.leases(lambda bell: None)
    server = await start(world, "serve", "--web-only", RELAY_PORT=str(free_port()))
    await line_with(server, "Uvicorn running")
    server.send_signal(signal.SIGTERM)
    _, log = await server.communicate()
    lock.release()
    assert server.returncode == 0, log.decode()


# The snippet


def test_the_snippet_is_printed_as_it_is_pasted() -> None:
    line = run("snippet", "https://r.shop.com/").output
    assert line == f'<script async src="https://r.shop.com/tag.js?key={WRITE_KEY}"></script>\n'
    stub = run("snippet", "https://r.shop.com", "--inline", "--nonce", "abc").output
    assert stub.startswith('<script nonce="abc">')
    assert stub.rstrip().endswith(line.rstrip())


@pytest.mark.parametrize("url", ["r.shop.com", "ftp://r.shop.com", "https://"])
def test_a_snippet_needs_an_address(url: str) -> None:
    result = run("snippet", url)
    assert result.exit_code == 1
    assert "URL: expected an address such as https://r.shop.com" in result.output


# Explain and unlink


async def held_cart(world: World) -> dict[str, Any]:
    """A cart that is held for a shopper who has filled in a form; its row."""
    world.clock._now = time.time()  # the commands live in real time
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    await shopper.add_to_cart(messageId="the-cart")
    await world.settle()
    return (await world.deliveries("Added to Cart"))[-1]


@in_world(site_id="default")
async def test_explain_tells_the_whole_chain_in_a_pipe_of_80_columns(world: World) -> None:
    row = await held_cart(world)
    outputs = [
        (await run_beside(world, "explain", asked)).output
        for asked in (str(row["delivery_id"]), "the-cart", row["unique_id"])
    ]
    assert len(set(outputs)) == 1
    (output,) = set(outputs)
    lines = output.splitlines()
    assert lines[0] == CART
    assert [line for line in lines if len(line) > 80] == []
    assert "\N{HORIZONTAL ELLIPSIS}" not in output
    for name, value in (("delivery", row["delivery_id"]), ("visitor", row["visitor_id"]), ("message", "the-cart")):
        assert f"  {name} {value}" in lines
    whole = " ".join(output.split())
    assert "it gave a***@mail.com." in whole
    assert "Held: Klaviyo's script was not on the page" in whole
    assert "Where it stands (held until 20" in whole
    assert ANN not in output


@in_world(site_id="default")
async def test_an_events_name_does_not_speak_to_the_terminal(world: World) -> None:
    world.clock._now = time.time()
    await world.browser().track("Quiz \x1b[31mDone[/bold]", messageId="m1")
    await world.settle()
    output = (await run_beside(world, "explain", "m1")).output
    assert "\x1b[31m" not in output
    assert "[31mDone[/bold]" in output, "what is no control character is shown as it was written"


@in_world(site_id="default")
async def test_unlink_takes_back_what_explain_names(world: World) -> None:
    row = await held_cart(world)
    result = await run_beside(world, "unlink", row["visitor_id"])
    assert result.exit_code == 0
    assert f"Taken back: visitor {row['visitor_id']}, form." in result.output
    assert "1 unsent delivery recalled (unlinked)." in result.output
    told = await run_beside(world, "explain", str(row["delivery_id"]))
    whole = " ".join(told.output.split())
    assert "Suppressed: It rested on a tie between this browser and a person that was taken back" in whole
    assert "it was taken back (relay unlink)." in whole
    again = await run_beside(world, "unlink", row["visitor_id"])
    assert again.output == "There was nothing to take back.\n"


@in_world(site_id="default")
async def test_unlink_of_one_class_leaves_the_others(world: World) -> None:
    row = await held_cart(world)
    result = await run_beside(world, "unlink", str(row["delivery_id"]), "--evidence", "kx")
    assert result.output == "There was nothing to take back.\n"
    assert ("Added to Cart", "held", "klaviyo_absent") in await world.fates()


@pytest.mark.parametrize("command", ["explain", "unlink"])
def test_an_unknown_id_says_what_is_expected(command: str) -> None:
    result = run(command, "nobody")
    assert result.exit_code == 1
    assert "relay: ID: expected a " in result.output
    assert "nothing here is called 'nobody'" in result.output


def test_unlink_refuses_what_contradicts_itself() -> None:
    result = run("unlink", "x", "--merge", "--evidence", "form")
    assert (result.exit_code, "--evidence: a merge has no class" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["doctor"], {"RELAY_PATH_PREFIX": "[/r]"}, "[/r]"),
        (["doctor", "--relay-url", "r.shop.com"], {}, "--relay-url: expected an address"),
        (
            ["doctor", "--relay-url", "https://r.example.com"],
            {"RELAY_COOKIE_DOMAIN": "other.com", "RELAY_ALLOWED_ORIGINS": "https://shop.example.com"},
            "RELAY_COOKIE_DOMAIN is other.com",
        ),
        (["doctor"], {"RELAY_FORWARD": "[/backup]"}, "[/backup]"),
        (["explain", "[/x]"], {}, "[/x]"),
        (["snippet", "[/x]"], {}, "[/x]"),
        (["snippet", "https://r.shop.com?x=1"], {}, "without a query"),
        (["doctor"], {"RELAY_KLAVIYO_API_KEY": "pk_secret\u2026"}, "RELAY_KLAVIYO_API_KEY: expected a private key"),
        (["doctor"], {"RELAY_DATABASE_URL": "postgresql://u:secr@et@127.0.0.1:1/x"}, "written %40"),
        (["replay", "--since-hours", "nan"], {}, "--since-hours: expected hours"),
        (["replay", "--since-hours", "-1"], {}, "--since-hours: expected hours"),
        (["replay", "--reason", "nonsense"], {}, "--reason: expected one"),
        (["demo", "--shop-port", "99999"], {}, "--shop-port"),
    ],
)
def test_what_is_typed_wrong_is_said_as_it_was_typed_and_ends_the_command(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    database = {"RELAY_DATABASE_URL": f"sqlite:///{tmp_path / 'relay.db'}"}
    result = run(*arguments, **(database | environment))
    told = result.output + result.stderr
    assert result.exit_code in (1, 2), told
    assert isinstance(result.exception, SystemExit)
    assert said in told
    assert "secr" not in told.replace("RELAY_SECRET", "")
