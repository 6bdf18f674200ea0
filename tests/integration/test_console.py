"""The console on a real relay: who may look, what the sums and the stream say, and what never appears."""

import asyncio
import contextlib
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from relay.app import Relay
from relay.clock import SystemClock
from relay.config import Forward, Secret, Settings, Site
from relay.delivery.states import State
from relay.errors import StoreUnavailable
from relay.identity.identifiers import IdentifierKind
from relay.model import Commerce, DeliveryKind, DropReason, Kept, Kind, Reason, Recipient, Trust
from relay.pipeline.process import Processor
from relay.store.base import Transaction
from relay.store.rows import Draft, Pause, StoredEvent, Want
from relay.web.console import snapshot, stream, words
from relay.web.console.pages import WRONG_PER_MINUTE

PASSWORD = "correct horse"
SERVER_KEY = "server-key-of-the-shop"
EMAIL = "ana.lopez@example.com"
PATHS = [
    "/console",
    "/console/live",
    "/console/why?site=default&id=1",
    "/console/static/console.css",
    "/console/static/console.js",
]
SITE = Site(
    site_id="default",
    write_key="public",
    server_key=Secret(SERVER_KEY),
    klaviyo_api_key=Secret("pk_test"),
    klaviyo_url="http://127.0.0.1:9",
)


class House:
    """A relay that collects; processing is done when the test says so."""

    def __init__(self, folder: Path, *sites: Site, password: str | None = PASSWORD, prefix: str = "") -> None:
        self.settings = Settings(
            secret_keys=(Secret("k" * 32),),
            sites=sites,
            database_url=f"sqlite:///{folder}/relay.db",
            console_password=None if password is None else Secret(password),
            path_prefix=prefix,
        )
        self.relay = Relay(self.settings, work=False)
        transport = httpx.ASGITransport(self.relay)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://relay", headers=basic(PASSWORD))
        # A loop in a thread of its own: the browser tests leave theirs in the main one.
        self._threads = contextlib.ExitStack()
        self._loop = self._threads.enter_context(start_blocking_portal())
        self._unique = 0

    def __enter__(self) -> "House":
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call(self._client.aclose)
        self._loop.call(self.relay.store.close)
        self._threads.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask with the console's password, or with these headers."""
        return self._loop.call(partial(self._client.get, path, headers=headers))

    def send(self, *messages: dict[str, Any]) -> None:
        """Post a batch as the shop's server and process it."""
        headers = basic("", user=SERVER_KEY)
        answer = self._loop.call(
            partial(self._client.post, "/v1/batch", json={"batch": list(messages)}, headers=headers)
        )
        assert answer.status_code == 200, answer.text
        bells = asyncio.Event(), asyncio.Event()
        processor = Processor(
            self.settings.sites[0],
            self.relay.store,
            SystemClock(),
            journal_rings=bells[0],
            outbox_rings=bells[1],
        )
        self._loop.call(processor.process_next)

    def transact(self, work: Any) -> Any:
        return self._loop.call(self.relay.store.transact, work)

    def add(self, state: State, reason: Reason, **fields: Any) -> int:
        """Put a delivery into the outbox as it may stand there; its ID."""
        self._unique += 1
        now = time.time()
        values: dict[str, Any] = {
            "site_id": self.settings.sites[0].site_id,
            "kind": DeliveryKind.EVENT,
            "unique_id": f"u{self._unique}",
            "cause": Reason.KLAVIYO_ABSENT,
            "occurred_at": now,
            "created_at": now,
            "due_at": now,
            "metric": "Added to Cart",
        }
        settled = [fields.pop(name, None) for name in ("error", "status", "attempts", "settled_at")]
        draft = Draft(**(values | fields), state=state, reason=reason)

        def insert(tx: Transaction) -> int:
            assert tx.outbox.add(draft)
            where = (draft.site_id, draft.unique_id)
            sql = (
                "UPDATE deliveries SET error = ?, status = ?, attempts = coalesce(?, 0), settled_at = ?"
                " WHERE site_id = ? AND unique_id = ?"
            )
            tx.connection.execute(sql, (*settled, *where))
            sql = "SELECT delivery_id FROM deliveries WHERE site_id = ? AND unique_id = ?"
            return int(tx.connection.execute(sql, where).fetchone()[0])

        return int(self.transact(insert))

    def snapshot(self, show: str = "all") -> Any:
        """What the page would show now, past the console's own pacing of reads."""
        found = self.transact(lambda tx: snapshot.read(tx, self.settings, show=show, now=time.time()))
        return msgspec.to_builtins(found)

    def site(self, show: str = "all") -> Any:
        return self.snapshot(show)["sites"][0]

    def line(self, delivery_id: int) -> Any:
        return next(line for line in self.site()["lines"] if line["id"] == delivery_id)


def basic(password: str, user: str = "merchant") -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def added(message_id: str, **fields: Any) -> dict[str, Any]:
    properties = {"product_id": "1", "name": "Lamp", "price": 20}
    message = {"type": "track", "event": "Product Added", "messageId": message_id, "anonymousId": "a-1"}
    return message | {"properties": properties} | fields


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SITE) as house:
        yield house


# Every word of the house has a sentence


@pytest.mark.parametrize(
    ("names", "table"),
    [
        pytest.param(Reason, words.REASONS, id="reasons"),
        pytest.param(DropReason, words.DROPS, id="drops"),
        pytest.param(State, words.STATES, id="states"),
        pytest.param(Forward, words.FORWARD, id="policies"),
        pytest.param(set(DeliveryKind) - {DeliveryKind.EVENT}, words.ERRANDS, id="errands"),
    ],
)
def test_every_member_has_a_sentence_of_its_own(names: Any, table: dict[Any, Any]) -> None:
    assert set(table) == set(names)
    assert len({str(sentence) for sentence in table.values()}) == len(table)
    assert all(sentence for sentence in table.values())


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("reason", list(Reason))
def test_every_combination_is_explained_in_whole_sentences(state: State, reason: Reason) -> None:
    row: dict[str, Any] = dict.fromkeys(("settled_at", "error", "status"))
    row |= {"delivery_id": 1, "kind": "event", "metric": "Added to Cart", "evidence": "", "confidence": 0.0}
    row |= {"state": state, "reason": reason, "cause": Reason.KLAVIYO_ABSENT, "backfill": 0, "attempts": 0}
    row |= dict.fromkeys(("occurred_at", "created_at", "due_at"), 1000.0)
    line = stream.line(row, SITE, set(), now=1000.0)
    assert re.fullmatch(r"[A-Z].*\.", line.why)
    assert words.REASONS[reason] in line.why


# Who may look


@pytest.mark.parametrize("path", PATHS)
def test_console_asks_for_its_password(house: House, path: str) -> None:
    for headers in ({"Authorization": ""}, basic("wrong"), basic(SERVER_KEY), basic("", user=PASSWORD)):
        answer = house.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert "lines" not in answer.text
    house.add(State.READY, Reason.KLAVIYO_ABSENT)
    assert house.get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_console_is_closed_without_a_password_and_says_what_to_set(tmp_path: Path, path: str) -> None:
    with House(tmp_path, SITE, password=None) as house:
        for password in ("", "None", PASSWORD):
            answer = house.get(path, headers=basic(password))
            assert answer.status_code == 403
            assert "RELAY_CONSOLE_PASSWORD" in answer.text


def test_guessing_is_slowed_down_for_the_right_password_too(house: House) -> None:
    for _ in range(WRONG_PER_MINUTE):
        assert house.get("/console", headers=basic("guess")).status_code == 401
    answer = house.get("/console")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"


@pytest.mark.parametrize("path", [*PATHS, "/console/static/nothing.css"])
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_every_answer_carries_the_security_headers(house: House, path: str, password: str) -> None:
    headers = house.get(path, headers=basic(password)).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("name", ["nothing.css", "..%2fpages.py", "%2e%2e%2fpages.py", "console.html"])
def test_only_the_pages_own_files_are_served(house: House, name: str) -> None:
    assert house.get(f"/console/static/{name}").status_code == 404


def test_page_works_below_a_path_prefix(tmp_path: Path) -> None:
    with House(tmp_path, SITE, prefix="/_r") as house:
        page = house.get("/_r/console")
        urls = re.findall(r'(?:href|src)="([^"#][^"]*)"', page.text)
        assert urls
        assert all(url.startswith("console/static/") for url in urls)
        assert {house.get(f"/_r/{url}").status_code for url in urls} == {200}
        assert house.get("/_r/console/live").status_code == 200
        moved = house.get("/_r/console/")
        assert (moved.status_code, moved.headers["Location"]) == (308, "../console")


# The sums


def test_every_received_message_is_counted_in_exactly_one_place(house: House) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"deeper": deep}
    house.send(
        added("m1"),
        added("m2"),
        added("m1"),
        {"type": "dance", "messageId": "m3"},
        {"type": "track", "messageId": "m4", "userId": "7"},
        added("m5", properties={"note": "x" * 40_000}),
        added("m6", timestamp="yesterday"),
        added("m7", properties=deep),
        added("m8", context={"consent": {"marketing": False}}),
    )
    messages = house.site()["messages"]
    assert (messages["received"], messages["accepted"], messages["duplicate"], messages["dropped"]) == (9, 2, 1, 6)
    assert messages["missing"] == 0
    assert {part["name"]: part["n"] for part in messages["drops"]} == {
        DropReason.UNKNOWN_TYPE: 1,
        DropReason.MISSING_EVENT: 1,
        DropReason.TOO_LARGE: 1,
        DropReason.INVALID_TIMESTAMP: 1,
        DropReason.TOO_DEEP: 1,
        DropReason.CONSENT: 1,
    }
    assert all(part["words"] == words.DROPS[DropReason(part["name"])] for part in messages["drops"])


def test_lost_messages_would_be_seen(house: House) -> None:
    house.send(added("m1"))
    house.transact(lambda tx: tx.ledger.count("default", "received", n=3))
    assert house.site()["messages"]["missing"] == 3


def test_deliveries_add_up_by_state_and_suppressed_ones_by_reason(house: House) -> None:
    for state in State:
        house.add(state, Reason.KLAVIYO_ABSENT)
    house.add(State.SUPPRESSED, Reason.NATIVE)
    house.add(State.SUPPRESSED, Reason.NATIVE)
    deliveries = house.site()["deliveries"]
    by_state = {place["state"]: place for place in deliveries["places"]}
    assert set(by_state) == set(State)
    assert deliveries["total"] == 10 == sum(place["n"] for place in by_state.values())
    suppressed = by_state["suppressed"]
    assert suppressed["n"] == 3
    assert [(part["name"], part["n"]) for part in suppressed["reasons"]] == [("native", 2), ("klaviyo_absent", 1)]


def test_sites_do_not_see_each_others_figures(tmp_path: Path) -> None:
    other = msgspec.structs.replace(SITE, site_id="other", write_key="public2", server_key=Secret("another-key"))
    with House(tmp_path, SITE, other) as house:
        house.send(added("m1"))
        first, second = house.snapshot()["sites"]
        assert (first["messages"]["received"], len(first["lines"])) == (1, 1)
        assert (second["messages"]["received"], second["deliveries"]["total"], second["lines"]) == (0, 0, [])
        assert house.get("/console").text.count('data-site="') == 2


# The stream


def test_stream_tells_why_a_recognised_shopper_is_sent_and_until_when_it_is_held(house: House) -> None:
    house.send(added("m1", userId="7", context={"traits": {"email": EMAIL}}))
    line = house.site()["lines"][0]
    assert line["title"] + line["suffix"] == "Added to Cart - Backup Flow"
    assert line["state"] == "held"
    assert line["why"].startswith(words.REASONS[Reason.KLAVIYO_ABSENT])
    assert line["when"] == "held until"
    assert line["at"] == pytest.approx(time.time() + SITE.hold_seconds, abs=30)
    assert "the shop's server said who this is" in line["evidence"]
    assert 0.9 < line["confidence"] < 1
    assert not line["only_recorded"]


def test_native_and_unknown_shoppers_are_told_apart(house: House) -> None:
    house.send(
        added("m1", context={"klaviyo": {"present": True, "identified": True}}),
        added("m2", anonymousId="a-2", context={"klaviyo": {"present": True, "identified": False}}),
    )
    waiting, native = house.site()["lines"]
    assert (native["state"], native["why"]) == ("suppressed", words.REASONS[Reason.NATIVE])
    assert waiting["state"] == "waiting"
    assert waiting["why"].startswith(words.REASONS[Reason.NO_IDENTITY])
    assert waiting["confidence"] is None


def test_newest_deliveries_come_first_and_the_stream_can_be_narrowed(house: House) -> None:
    ids = [house.add(state, Reason.KLAVIYO_ABSENT) for state in State]
    states = {show: {line["state"] for line in house.site(show)["lines"]} for show in snapshot.SHOWS}
    assert [line["id"] for line in house.site()["lines"]] == ids[::-1]
    assert states == {
        "all": set(State),
        "sent": {"delivered"},
        "open": {"waiting", "held", "ready", "sending"},
        "spared": {"suppressed", "expired"},
        "failed": {"dead"},
    }
    assert house.get("/console/live?show=failed").json()["show"] == "failed"
    assert house.get("/console/live?show=everything").status_code == 400


def test_dead_and_retried_deliveries_show_attempts_and_error(house: House) -> None:
    failed = {"attempts": 4, "status": 400, "error": "invalid /data/attributes/time"}
    dead = house.line(house.add(State.DEAD, Reason.REFUSED, **failed))
    assert (dead["attempts"], dead["error"]) == (4, "400 invalid /data/attributes/time")
    assert words.REASONS[Reason.KLAVIYO_ABSENT] in dead["why"]
    assert "relay replay" in dead["why"]
    later = time.time() + 90
    retried = house.line(
        house.add(State.READY, Reason.KLAVIYO_ABSENT, attempts=2, status=503, error="http_503", due_at=later)
    )
    assert (retried["attempts"], retried["error"], retried["when"]) == (2, "status 503", "next try")
    assert retried["at"] == pytest.approx(later)


@pytest.mark.parametrize(
    ("state", "fields", "only_recorded"),
    [
        pytest.param(State.HELD, {}, False, id="fresh"),
        pytest.param(State.HELD, {"backfill": True}, True, id="marked"),
        pytest.param(State.READY, {"occurred_at": time.time() - 90_000}, True, id="too-old-when-it-leaves"),
        pytest.param(State.SUPPRESSED, {"backfill": True}, False, id="never-sent"),
        pytest.param(State.HELD, {"kind": DeliveryKind.PROFILE, "backfill": True}, False, id="not-an-event"),
    ],
)
def test_events_that_start_no_flow_are_marked(
    house: House, state: State, fields: dict[str, Any], only_recorded: bool
) -> None:
    assert house.line(house.add(state, Reason.KLAVIYO_ABSENT, **fields))["only_recorded"] is only_recorded


# The destination


def test_nothing_sent_yet_is_neither_green_nor_red(house: House) -> None:
    assert house.site()["destination"]["state"] == "idle"
    house.add(State.DELIVERED, Reason.KLAVIYO_ABSENT)
    assert house.site()["destination"]["state"] == "ok"


@pytest.mark.parametrize(
    ("scope", "state", "needed"),
    [
        pytest.param("everything", "down", "RELAY_KLAVIYO_API_KEY", id="key-refused"),
        pytest.param("event", "down", "events:write", id="events"),
        pytest.param("profile", "down", "profiles:write", id="profiles"),
        pytest.param("deletion", "down", "data-privacy:write", id="erasures"),
        pytest.param("lookup", "slow", "profiles:read", id="lookups-hold-nothing-up"),
    ],
)
def test_refused_key_says_what_is_wrong_since_when_and_what_to_do(
    house: House, scope: str, state: str, needed: str
) -> None:
    house.add(State.DELIVERED, Reason.KLAVIYO_ABSENT)
    since = time.time() - 60
    house.transact(lambda tx: tx.ledger.pause("default", Pause(scope, since + 120, "refused (403)", since)))
    destination = house.site()["destination"]
    assert destination["state"] == state
    problem = destination["problems"][0]
    assert (problem["scope"], problem["reason"]) == (scope, "refused (403)")
    assert problem["since"] == pytest.approx(since)
    assert needed in problem["advice"]
    assert ("deliveries wait" in problem["advice"]) is (state == "down")


def test_missing_key_is_red_and_deliveries_say_what_they_wait_for(tmp_path: Path) -> None:
    with House(tmp_path, msgspec.structs.replace(SITE, klaviyo_api_key=None)) as house:
        line = house.line(house.add(State.READY, Reason.KLAVIYO_ABSENT))
        assert house.site()["destination"]["state"] == "down"
        assert "RELAY_KLAVIYO_API_KEY" in house.site()["destination"]["problems"][0]["advice"]
        assert line["why"].endswith("It waits for a Klaviyo API key.")


def test_unreachable_klaviyo_is_no_refusal_but_is_not_green(house: House) -> None:
    house.add(State.DELIVERED, Reason.KLAVIYO_ABSENT)
    house.add(State.READY, Reason.KLAVIYO_ABSENT, error="ConnectTimeout", attempts=1)
    destination = house.site()["destination"]
    assert (destination["state"], destination["problems"][0]["reason"]) == ("slow", "ConnectTimeout")


def test_unreadable_database_is_said_plainly(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(work: Any) -> Any:
        raise StoreUnavailable(f"disk full at {EMAIL}")

    monkeypatch.setattr(house.relay.store, "read", broken)
    answer = house.get("/console/live")
    assert (answer.status_code, answer.text) == (503, "The database cannot be read.\n")
    assert house.get("/console").status_code == 200


# Why, and who is who


def test_the_chain_behind_a_delivery_is_told_step_by_step(house: House) -> None:
    house.send(added("m1", userId="7", context={"traits": {"email": EMAIL}}))
    line = house.site()["lines"][0]
    (found,) = house.get(f"/console/why?site=default&id={line['id']}").json()
    assert (found["title"], found["message_id"]) == ("Added to Cart - Backup Flow", "m1")
    kinds = [step["kind"] for step in found["steps"]]
    assert kinds[:2] == ["event", "standing"]
    assert {"sign", "confidence", "measured"} <= set(kinds)
    texts = " ".join(step["text"] for step in found["steps"])
    assert line["why"] in texts
    assert "The shop's server named a***@example.com in the call itself" in texts
    assert EMAIL not in texts


@pytest.mark.parametrize(
    ("query", "status"),
    [("site=default&id=999", 404), ("site=other&id=1", 400), ("site=default", 400), ("id=1", 400), ("", 400)],
)
def test_a_chain_that_is_not_there_is_said_plainly(house: House, query: str, status: int) -> None:
    answer = house.get(f"/console/why?{query}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_each_class_of_evidence_shows_what_it_is_worth(house: House) -> None:
    labels = {
        "order:right": 3, "order:wrong": 30, "form:right": 199, "form:wrong": 1, "kx:right": 5, "kx:wrong": 25,
        "kx:missed": 2, "analytics_id:right": 2, "click_id:missed": 4, "cookie:right": 30, "cookie:wrong": 20,
    }  # fmt: skip
    for label, n in labels.items():
        house.transact(lambda tx, label=label, n=n: tx.ledger.count("default", "label", label, n))
    who = house.site()["who"]
    found = {row["name"]: row for row in who["measured"]}
    assert [row["name"] for row in who["measured"]] == ["order", "form", "kx", "analytics_id", "click_id", "cookie"]
    assert {name: row["off"] for name, row in found.items()} == {name: name == "kx" for name in found}
    assert (who["answers"], who["wrong"], who["limit"]) == (265, 56, 0.6)
    kx = found["kx"]
    assert (kx["right"], kx["wrong"], kx["missed"]) == (5, 25, 2)
    assert (kx["precision"], kx["recall"]) == (pytest.approx(5 / 30), pytest.approx(5 / 32))
    assert kx["lower"] == pytest.approx(0.0734, abs=0.001)
    verdicts = {name: row["verdict"] for name, row in found.items()}
    assert (
        verdicts["order"] == "Trusted all the same: what the shop itself says, or shoppers type, is never switched off."
    )
    assert verdicts["form"] == "Trusted."
    assert verdicts["kx"].startswith("Switched off")
    assert verdicts["analytics_id"] == "Too few answers to judge by: 30 are needed."
    assert verdicts["click_id"].startswith("It has named nobody yet")
    assert verdicts["cookie"].startswith("Below the limit")
    assert (found["click_id"]["precision"], found["click_id"]["lower"]) == (None, None)


def test_nothing_measured_is_no_figure(house: House) -> None:
    assert house.site()["who"] == {"answers": 0, "wrong": 0, "limit": 0.6, "measured": [], "noticed": []}


def test_what_the_guards_have_noticed_is_told_in_words_the_most_frequent_first(house: House) -> None:
    counts = {"limit_email": 2, "claims_of_one_address": 9, "invalid_email": 5}
    for reason, n in counts.items():
        house.transact(lambda tx, reason=reason, n=n: tx.ledger.count("default", "refused_identifier", reason, n))
    house.transact(lambda tx: tx.ledger.count("default", "noted_identifier", "many_browsers", 1))
    noticed = house.site()["who"]["noticed"]
    assert [(row["name"], row["n"]) for row in noticed] == [
        ("claims_of_one_address", 9), ("invalid_email", 5), ("limit_email", 2), ("many_browsers", 1),
    ]  # fmt: skip
    assert [row["words"] for row in noticed] == [
        words.GUARDS["claims_of_one_address"], words.NOTES["invalid_email"], words.GUARDS["limit_email"],
        words.GUARDS["many_browsers"],
    ]  # fmt: skip


def test_every_limit_of_identifiers_has_words() -> None:
    assert {f"limit_{kind}" for kind in IdentifierKind} <= words.GUARDS.keys()


# What never appears


def test_name_of_an_event_is_text_and_never_markup(house: House) -> None:
    house.send(added("m1", event="<script>alert(1)</script>"), added("m2", event="</script><img src=x onerror=y>"))
    page, live = house.get("/console"), house.get("/console/live")
    assert "alert(1)" in page.text
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert live.headers["Content-Type"] == "application/json"
    titles = {line["title"] for line in live.json()["sites"][0]["lines"]}
    assert "<script>alert(1)</script>" in titles


def test_no_address_reaches_the_page(house: House) -> None:
    house.send(
        {"type": "identify", "messageId": "i1", "userId": "7", "traits": {"email": EMAIL, "phone": "+34600123456"}},
        added("m1", userId="7", context={"traits": {"email": EMAIL}, "page": {"url": f"https://shop/?e={EMAIL}"}}),
        added("m2", userId="7", event=f"Mail to {EMAIL} opened"),
    )
    event = StoredEvent(
        site_id="default",
        source=Trust.SERVER,
        message_id="x",
        visitor_id=None,
        kind="other",
        name="x",
        occurred_at=0,
        received_at=0,
        body=msgspec.json.encode(Kept(commerce=Commerce(kind=Kind.OTHER, name="x", email=EMAIL))),
    )
    event_id = house.transact(lambda tx: tx.ledger.add_event(event))
    house.add(State.READY, Reason.FORGOTTEN, kind=DeliveryKind.DELETION, payload=EMAIL)
    house.add(State.READY, Reason.IDENTITY_PENDING, kind=DeliveryKind.LOOKUP, payload="kx-secret-exchange-id")
    house.add(State.READY, Reason.KLAVIYO_ABSENT, event_id=event_id, person_id="p1")
    for kind in DeliveryKind:
        house.transact(
            lambda tx, kind=kind: tx.dispatch.claim(
                "default",
                Want(kind=kind, limit=10),
                now=time.time() + 1,
                lease_owner="me",
                lease_until=time.time() + 60,
                recipient=lambda person_id, visitor_id: Recipient(email=EMAIL, phone_number="+34600123456"),
            )
        )
    for path in ("/console", "/console/live", "/console/live?show=open"):
        text = house.get(path).text
        assert "Added to Cart" in text
        assert "@" not in text
        assert "600123456" not in text
        assert "kx-secret" not in text
    assert "Mail to [address] opened" in {line["title"] for line in house.site()["lines"]}
