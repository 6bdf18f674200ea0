"""Native, backup, waiting or suppressed: the decision for one event, as a table."""

from typing import Any

import pytest

from relay.config import Forward, Site
from relay.delivery.states import State
from relay.identity.resolve import Resolution
from relay.model import KlaviyoState, Reason
from relay.pipeline.decide import Decision, asked, cause, decide, klaviyo_state, send

NOW, DAY = 1_000_000.0, 86400.0
ANN = Resolution(person_id="ann", evidence="form", confidence=0.98)
NOBODY = Resolution(reason=Reason.NO_IDENTITY)
PENDING = Resolution(person_id="ann", reason=Reason.IDENTITY_PENDING)
SHARED = Resolution(reason=Reason.SHARED_DEVICE)
REFUSED = Resolution(reason=Reason.CLAIM_REFUSED)

UNTOLD = KlaviyoState()
ABSENT = KlaviyoState(present=False, identified=False)
STRANGER = KlaviyoState(present=True, identified=False)
KNOWN = KlaviyoState(present=True, identified=True)
KNOWN_ONLY = KlaviyoState(identified=True)


def site(forward: str = "backup", **fields: Any) -> Site:
    fields.setdefault("hold_seconds", 180.0)
    return Site(site_id="shop", write_key="pk", forward=Forward(forward), **fields)


def decided(
    klaviyo: KlaviyoState,
    who: Resolution,
    where: Site,
    *,
    may_forward: bool = True,
    ago: float = 0.0,
    may_be_anonymous: bool = True,
    is_integrations: bool = False,
) -> Decision:
    return decide(
        klaviyo,
        who,
        where,
        may_forward=may_forward,
        occurred_at=NOW - ago,
        now=NOW,
        may_be_anonymous=may_be_anonymous,
        is_integrations=is_integrations,
    )


@pytest.mark.parametrize(
    ("forward", "klaviyo", "who", "state", "reason", "cause_"),
    [
        ("backup", UNTOLD, ANN, "held", "klaviyo_absent", "klaviyo_absent"),
        ("backup", UNTOLD, NOBODY, "waiting", "no_identity", "klaviyo_absent"),
        ("backup", ABSENT, ANN, "held", "klaviyo_absent", "klaviyo_absent"),
        ("backup", ABSENT, NOBODY, "waiting", "no_identity", "klaviyo_absent"),
        ("backup", STRANGER, ANN, "held", "klaviyo_unidentified", "klaviyo_unidentified"),
        ("backup", STRANGER, NOBODY, "waiting", "no_identity", "klaviyo_unidentified"),
        ("backup", STRANGER, PENDING, "waiting", "identity_pending", "klaviyo_unidentified"),
        ("backup", STRANGER, SHARED, "waiting", "shared_device", "klaviyo_unidentified"),
        ("backup", STRANGER, REFUSED, "suppressed", "claim_refused", "klaviyo_unidentified"),
        ("all", STRANGER, REFUSED, "suppressed", "claim_refused", "forward_all"),
        ("backup", KNOWN, ANN, "suppressed", "native", "klaviyo_unidentified"),
        ("backup", KNOWN, NOBODY, "suppressed", "native", "klaviyo_unidentified"),
        ("backup", KNOWN_ONLY, ANN, "suppressed", "native", "klaviyo_absent"),
        ("all", UNTOLD, ANN, "ready", "forward_all", "forward_all"),
        ("all", STRANGER, ANN, "ready", "forward_all", "forward_all"),
        ("all", KNOWN, ANN, "ready", "forward_all", "forward_all"),
        ("all", KNOWN, NOBODY, "waiting", "no_identity", "forward_all"),
        ("all", STRANGER, PENDING, "waiting", "identity_pending", "forward_all"),
        ("shadow", STRANGER, ANN, "held", "klaviyo_unidentified", "klaviyo_unidentified"),
        ("shadow", STRANGER, NOBODY, "waiting", "no_identity", "klaviyo_unidentified"),
        ("shadow", KNOWN, ANN, "suppressed", "native", "klaviyo_unidentified"),
    ],
)
def test_the_fate_of_an_event(
    forward: str, klaviyo: KlaviyoState, who: Resolution, state: str, reason: str, cause_: str
) -> None:
    found = decided(klaviyo, who, site(forward))
    assert (found.state, found.reason, found.cause) == (State(state), Reason(reason), Reason(cause_))
    assert found.due_at == (NOW + 180.0 if state == "held" else NOW)
    assert found.backfill is (forward == "shadow" and state == "held")


@pytest.mark.parametrize(
    ("forward", "may_forward", "state", "reason"),
    [
        ("backup", True, "suppressed", "native"),
        ("shadow", True, "suppressed", "native"),
        ("all", True, "ready", "forward_all"),
        ("backup", False, "suppressed", "gpc"),
    ],
)
@pytest.mark.parametrize("klaviyo", [UNTOLD, ABSENT, STRANGER], ids=["untold", "absent", "stranger"])
def test_what_klaviyos_integration_tells_is_native_whatever_its_script_saw(
    klaviyo: KlaviyoState, forward: str, may_forward: bool, state: str, reason: str
) -> None:
    found = decided(klaviyo, ANN, site(forward), may_forward=may_forward, is_integrations=True)
    assert (found.state, found.reason) == (State(state), Reason(reason))


@pytest.mark.parametrize("forward", ["backup", "all", "shadow"])
@pytest.mark.parametrize("klaviyo", [UNTOLD, STRANGER, KNOWN], ids=["untold", "stranger", "known"])
@pytest.mark.parametrize("who", [ANN, NOBODY, PENDING], ids=["resolved", "nobody", "pending"])
def test_without_permission_nothing_is_forwarded(forward: str, klaviyo: KlaviyoState, who: Resolution) -> None:
    found = decided(klaviyo, who, site(forward), may_forward=False)
    assert (found.state, found.reason) == (State.SUPPRESSED, Reason.GPC)


def test_a_resolution_that_names_nobody_is_not_sent() -> None:
    assert decided(STRANGER, Resolution(), site()).state is State.WAITING


@pytest.mark.parametrize(
    ("forward", "ago", "backfill"),
    [
        ("backup", 0.0, False),
        ("backup", DAY, False),
        ("backup", DAY + 1, True),
        ("all", DAY + 1, True),
        ("shadow", 0.0, True),
    ],
)
def test_what_is_older_than_the_window_starts_no_flow(forward: str, ago: float, backfill: bool) -> None:
    assert decided(STRANGER, ANN, site(forward), ago=ago).backfill is backfill


def test_without_a_hold_an_event_is_ready_at_once() -> None:
    found = decided(STRANGER, ANN, site(hold_seconds=0.0))
    assert (found.state, found.due_at) == (State.READY, NOW)


def test_what_is_found_late_is_held_from_then_on() -> None:
    found = send(Reason.KLAVIYO_ABSENT, site(), occurred_at=NOW - 3600, now=NOW)
    assert (found.state, found.reason, found.due_at) == (State.HELD, Reason.KLAVIYO_ABSENT, NOW + 180.0)


@pytest.mark.parametrize(
    ("klaviyo", "who", "forward", "may_be_anonymous", "state", "reason"),
    [
        pytest.param(STRANGER, NOBODY, "backup", True, "held", "anonymous", id="nobody"),
        pytest.param(UNTOLD, NOBODY, "all", True, "ready", "anonymous", id="all"),
        pytest.param(STRANGER, SHARED, "backup", True, "held", "anonymous", id="no guess on a shared device"),
        pytest.param(STRANGER, NOBODY, "backup", False, "waiting", "no_identity", id="no visitor, or an order"),
        pytest.param(STRANGER, PENDING, "backup", True, "waiting", "identity_pending", id="a person without address"),
        pytest.param(STRANGER, ANN, "backup", True, "held", "klaviyo_unidentified", id="somebody"),
        pytest.param(KNOWN, NOBODY, "backup", True, "suppressed", "native", id="native"),
    ],
)
def test_where_strangers_have_an_anonymous_id_their_events_do_not_wait(
    klaviyo: KlaviyoState, who: Resolution, forward: str, may_be_anonymous: bool, state: str, reason: str
) -> None:
    found = decided(klaviyo, who, site(forward, anonymous_id=True), may_be_anonymous=may_be_anonymous)
    assert (found.state, found.reason) == (State(state), Reason(reason))
    assert found.cause is cause(klaviyo, site(forward))
    assert found.due_at == (NOW + 180.0 if state == "held" else NOW)


def test_an_anonymous_event_is_only_recorded_where_others_are() -> None:
    assert decided(STRANGER, NOBODY, site("shadow", anonymous_id=True)).backfill is True
    assert decided(STRANGER, NOBODY, site(anonymous_id=True), ago=DAY + 1).backfill is True


@pytest.mark.parametrize(
    ("who", "forward", "may_forward", "is_proven", "state", "reason"),
    [
        pytest.param(ANN, "backup", True, True, "ready", "asked", id="at once"),
        pytest.param(ANN, "all", True, True, "ready", "asked", id="all"),
        pytest.param(PENDING, "backup", True, True, "waiting", "identity_pending", id="without an address yet"),
        pytest.param(ANN, "backup", True, False, "suppressed", "unproven", id="not theirs"),
        pytest.param(NOBODY, "backup", True, True, "suppressed", "unproven", id="nobody's"),
        pytest.param(SHARED, "backup", True, True, "suppressed", "unproven", id="no guess on a shared device"),
        pytest.param(ANN, "shadow", True, True, "suppressed", "shadow", id="shadow"),
        pytest.param(PENDING, "shadow", True, True, "suppressed", "shadow", id="shadow never waits"),
        pytest.param(ANN, "backup", False, True, "suppressed", "gpc", id="privacy control"),
        pytest.param(NOBODY, "shadow", False, False, "suppressed", "gpc", id="privacy control first"),
    ],
)
def test_the_fate_of_what_a_call_asks_for(
    who: Resolution, forward: str, may_forward: bool, is_proven: bool, state: str, reason: str
) -> None:
    found = asked(who, site(forward), may_forward=may_forward, is_proven=is_proven, now=NOW)
    assert (found.state, found.reason, found.cause) == (State(state), Reason(reason), Reason.ASKED)
    assert (found.due_at, found.backfill) == (NOW, False)


def test_what_was_asked_for_is_not_held_when_it_is_found_late_either() -> None:
    found = send(Reason.ASKED, site(), occurred_at=NOW - 3600, now=NOW)
    assert (found.state, found.reason, found.due_at) == (State.READY, Reason.ASKED, NOW)


@pytest.mark.parametrize(
    ("klaviyo", "forward", "reason"),
    [
        (UNTOLD, "backup", Reason.KLAVIYO_ABSENT),
        (ABSENT, "shadow", Reason.KLAVIYO_ABSENT),
        (STRANGER, "backup", Reason.KLAVIYO_UNIDENTIFIED),
        (STRANGER, "all", Reason.FORWARD_ALL),
    ],
)
def test_why_klaviyo_has_to_be_told(klaviyo: KlaviyoState, forward: str, reason: Reason) -> None:
    assert cause(klaviyo, site(forward)) is reason


@pytest.mark.parametrize(
    ("context", "state"),
    [
        pytest.param({}, KlaviyoState(), id="nothing"),
        pytest.param({"klaviyo": None}, KlaviyoState(), id="null"),
        pytest.param({"klaviyo": "yes"}, KlaviyoState(), id="a word"),
        pytest.param({"klaviyo": [True]}, KlaviyoState(), id="a list"),
        pytest.param({"klaviyo": {"present": True, "identified": False, "queued": 3}}, KlaviyoState(True, False, 3)),
        pytest.param(
            {"klaviyo": {"present": 1, "identified": "true", "queued": True}}, KlaviyoState(), id="look-alikes"
        ),
        pytest.param({"klaviyo": {"identified": True}}, KlaviyoState(None, True, None), id="a part"),
        pytest.param({"klaviyo": {"queued": 2.5}}, KlaviyoState(), id="half an entry"),
    ],
)
def test_what_the_tag_saw_is_believed_only_in_so_many_words(context: dict[str, Any], state: KlaviyoState) -> None:
    assert klaviyo_state(context) == state
