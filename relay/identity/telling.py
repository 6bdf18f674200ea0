"""How an identity came about, in sentences a merchant understands. Pure; addresses are masked before they get here.

``mask`` is the only way in which an identifier is shown to people.
"""

from datetime import UTC, datetime

from relay.identity import guards
from relay.identity.evidence import Evidence, Recognition
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.measure import FEWEST_LABELS, Score
from relay.identity.traces import TraceKind
from relay.model import Kind, Reason

#: Each class of evidence as a name.
NAMES: dict[Evidence, str] = {
    Evidence.ORDER: "an order or checkout that the shop's server reported",
    Evidence.SIGNED_CUSTOMER: "a login that Shopify has signed",
    Evidence.SERVER: "the word of the shop's server",
    Evidence.FORM: "a form, login or checkout in the browser",
    Evidence.MAILBOX: "the address of a mailbox that is no person's own",
    Evidence.LINK: "a link that Backflow has signed",
    Evidence.KX: "a link in a Klaviyo message",
    Evidence.PROFILE_LINK: "a link that names a Klaviyo profile",
    Evidence.CLIENT_ID: "the shop's own ID of a browser, a cart or a checkout",
    Evidence.ANALYTICS: "an analytics ID",
    Evidence.CLICK: "an ad's click handed over by an app",
}

#: Each way of recognition as a name.
WAYS: dict[Recognition, str] = {
    Recognition.DIRECT: "the call itself",
    Recognition.COOKIE: "our cookie",
    Recognition.MIRROR: "the signed copy in the browser's storage",
    Recognition.HANDLE: "the handle in the cart",
    Recognition.CART: "the cart that a server's call is about",
    Recognition.NEW: "the first visit",
    Recognition.ANONYMOUS_ID: "an ID that the shop's server names",
    Recognition.SDK: "the random ID of an SDK in the browser",
    Recognition.NONE: "nothing",
}

#: How the browser was recognised, as a sentence.
RECOGNISED: dict[Recognition, str] = {
    Recognition.DIRECT: "The call itself says whose it is: no browser had to be recognised.",
    Recognition.COOKIE: "The browser was recognised by our signed first-party cookie.",
    Recognition.MIRROR: "The browser's cookie was gone; it was recognised by the signed copy in its storage.",
    Recognition.HANDLE: "The browser was recognised by the handle that the tag had put into its cart.",
    Recognition.CART: "The call is about a cart that this browser had at that time.",
    Recognition.NEW: "It was the browser's first visit: it still had the ID it had just been given.",
    Recognition.ANONYMOUS_ID: "The shop's server named the browser by its anonymous ID.",
    Recognition.SDK: "The browser was recognised by the random ID that the shop's SDK keeps in it.",
    Recognition.NONE: "No browser was recognised.",
}

#: What two browsers share.
TRACES: dict[TraceKind, str] = {
    TraceKind.CART: "the cart",
    TraceKind.CHECKOUT: "the checkout",
    TraceKind.CLIENT_ID: "Shopify's ID of the browser",
    TraceKind.GA: "the ID that Google Analytics keeps in the browser (_ga)",
    TraceKind.FBP: "the ID that Meta's pixel keeps in the browser (_fbp)",
    TraceKind.TTP: "the ID that TikTok's pixel keeps in the browser (_ttp)",
    TraceKind.SCID: "the ID that Snap's pixel keeps in the browser (_scid)",
    TraceKind.RDT: "the ID that Reddit's pixel keeps in the browser (_rdt_uuid)",
    TraceKind.CLICK: "an ad's click, handed over within minutes from an app's browser,",
}

#: Why a tie has ended.
ENDINGS: dict[str, str] = {
    "signed_out": "the shopper signed out",
    "corrected": "the shopper corrected the address a moment later",
    "unlinked": "it was taken back (relay unlink)",
    "consent_withdrawn": "the shopper withdrew consent",
    "unknown_kx": "Klaviyo knows no such link",
}

#: Why a tie that has not ended proves nothing all the same.
USELESS: dict[Reason, str] = {
    Reason.EVIDENCE_OFF: "Switched off: this class of evidence has named the wrong person too often in this shop",
    Reason.FORWARDED_LINK: (
        f"The mail has gone round: within {guards.LINK_WINDOW_SECONDS / guards.DAY:.0f} days more than"
        f" {guards.LINK_BROWSERS} browsers opened this person's links without a sign of the person"
    ),
    Reason.NO_IDENTITY: f"Faded: nothing was heard for {guards.LINK_LIFE_SECONDS / guards.DAY:.0f} days",
    Reason.SHARED_MAILBOX: "Over: a shared mailbox counts for the visit in which it was given",
}


def mask(identifier: Identifier) -> str:
    """An identifier as people may see it: enough to know it again, not enough to use it."""
    value = identifier.value
    match identifier.kind:
        case IdentifierKind.EMAIL:
            name, _, host = value.rpartition("@")
            return f"{name[:1]}***@{host}"
        case IdentifierKind.PHONE:
            return f"{value[:3]}***{value[-2:]}"
        case IdentifierKind.KLAVIYO_ID:
            return f"the Klaviyo profile {value[:4]}***"
        case IdentifierKind.CUSTOMER_ID:
            return f"customer {value[:1]}***"
        case _:
            return "whoever a Klaviyo link was sent to"


def day(at: float) -> str:
    """``3 May 2027`` (UTC)."""
    then = datetime.fromtimestamp(at, UTC)
    return f"{then.day} {then:%B %Y}"


def sign(
    evidence: Evidence,
    at: float,
    whom: str,
    *,
    where: str = "This browser",
    kind: str = "",
    order_id: str | None = None,
) -> str:
    """What ties ``where`` to ``whom``. ``kind`` and ``order_id`` are the event's that told it, where it is kept."""
    there, then = where[0].lower() + where[1:], day(at)
    order = f"order {order_id}" if order_id else "an order"
    match evidence:
        case Evidence.ORDER if kind == Kind.CHECKOUT_STARTED:
            return f"{where} started a checkout on {then}; the shop's server reported it for {whom}."
        case Evidence.ORDER:
            return f"{where} placed {order} on {then}; the shop's server reported it for {whom}."
        case Evidence.SIGNED_CUSTOMER:
            return f"Shopify signed on {then} that {whom} was logged in in {there}."
        case Evidence.SERVER:
            return f"The shop's server said on {then} that {there} is used by {whom}."
        case Evidence.FORM if kind == Kind.ORDER_COMPLETED:
            return f"{where} placed {order} on {then}; its page gave {whom}."
        case Evidence.FORM if kind == Kind.CHECKOUT_STARTED:
            return f"{whom} was given at the checkout in {there} on {then}."
        case Evidence.FORM:
            return f"A form was filled in, or a login made, in {there} on {then}; it gave {whom}."
        case Evidence.MAILBOX:
            return f"The address of a mailbox that is no person's own was given in {there} on {then}: {whom}."
        case Evidence.LINK:
            return f"{where} opened a link on {then} that Backflow had signed for {whom}."
        case Evidence.KX:
            return f"{where} opened a link on {then} in a Klaviyo message that was sent to {whom}."
        case Evidence.PROFILE_LINK:
            return f"{where} opened a link on {then} that names the Klaviyo profile of {whom}."
        case _:
            return f"{where} was tied by {NAMES[evidence]} on {then} to {whom}."


def named(evidence: Evidence, at: float, whom: str, *, kind: str = "", order_id: str | None = None) -> str:
    """A call that names its person itself."""
    then, order = day(at), f"order {order_id}" if order_id else "an order"
    if evidence is Evidence.ORDER and kind != Kind.CHECKOUT_STARTED:
        return f"The shop's server reported {order} of {whom} on {then}."
    if evidence in (Evidence.ORDER, Evidence.SERVER):
        return f"The shop's server named {whom} in the call itself on {then}."
    return f"The browser gave {whom} in the call itself on {then}."


def bridge(shared: TraceKind | None, evidence: Evidence, visitor_id: str) -> str:
    """What makes two visitors one browser. ``shared`` is None when they do not share it any more."""
    what = TRACES[shared] if shared is not None else f"{NAMES[evidence]} (erased or too widely spread since)"
    return f"This browser shares {what} with another one we know (visitor {visitor_id})."


def ending(at: float, reason: str | None) -> str:
    return f"Ended on {day(at)}: {ENDINGS.get(reason or '', reason or 'no reason is kept')}."


def ending_here(at: float, reason: str) -> str:
    """Of a tie that stands in one jar of a browser and counts for the others no more."""
    return f"It names nobody here since {day(at)}: {ENDINGS.get(reason, reason)} in this browser."


def sure(confidence: float) -> str:
    """How sure a chain is."""
    if confidence >= 1:
        return "Certain."
    return f"{percent(confidence)} sure: a chain is as strong as its weakest step."


def measured(name: str, score: Score | None, *, is_off: bool) -> str:
    """What later signs in this shop have said of a class of evidence or a way of recognition, called ``name``."""
    n = 0 if score is None else score.right + score.wrong
    if score is None or score.precision is None:
        return f"Measured in this shop: nothing has told yet how often {name} names the right person."
    share = f"{percent(score.precision)}; with 95 % certainty at least {percent(score.lower)}"
    text = f"Measured in this shop: {name} named the right person {score.right} of {n} times ({share})."
    if is_off:
        return f"{text} That is too little: it is switched off."
    return text if n >= FEWEST_LABELS else f"{text} Fewer than {FEWEST_LABELS} answers say little."


def percent(share: float) -> str:
    """``97.5 %``, rounded down."""
    return f"{int(share * 1000 + 1e-9) / 10:g} %"


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
