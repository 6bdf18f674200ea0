"""What an account starts with in a test or a demo: profiles with their consent, lists with their members."""

from msgspec import Struct

from relay.demo.sandbox import bodies, profiles, rules
from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import Fault, invalid
from relay.demo.sandbox.consent import Reason, State
from relay.demo.sandbox.list_bodies import OptIn
from relay.demo.sandbox.mailing import MailingList


class Profile(bodies.ProfileAttributes, kw_only=True):
    """A profile to start with.

    ``consent`` and ``sms_consent`` are its marketing consent, given or withdrawn at ``consent_at`` (seconds since the
    epoch; now without it). ``suppression`` keeps it from all e-mail since then; who unsubscribed has one anyway.
    """

    consent: State = "NEVER_SUBSCRIBED"
    sms_consent: State = "NEVER_SUBSCRIBED"
    consent_at: float | None = None
    suppression: Reason | None = None


class List(Struct, forbid_unknown_fields=True):
    """A list to start with. ``members`` are profile ids, or e-mail addresses, which make a profile if nobody has one;
    ``unsubscribed`` have withdrawn from this list alone."""

    id: str
    name: str
    opt_in_process: OptIn = "single_opt_in"
    members: list[str] = []
    unsubscribed: list[str] = []


def seed_profile(account: Account, sent: Profile) -> profiles.Profile:
    """The profile, made or updated. ``Refused`` (400) for identifiers Klaviyo would not take."""
    resource = bodies.Profile(type="profile", attributes=sent)
    faults: list[Fault] = []
    rules.check_profile(resource, "", faults)
    rules.refuse(faults)
    profile = account.seed(resource)
    at = account.now() if sent.consent_at is None else sent.consent_at
    for kind, state in (("email", sent.consent), ("sms", sent.sms_consent)):
        if state == "SUBSCRIBED":
            profile.consents.subscribe(kind, now=at, at=at, source=None, list_id=None, method="FORM")
        elif state == "UNSUBSCRIBED":
            profile.consents.unsubscribe(kind, now=at)
    if sent.suppression is not None:
        profile.consents.suppress(sent.suppression, at)
    return profile


def seed_list(account: Account, sent: List) -> MailingList:
    """The list with its members. ``Refused`` (400) for a member that is neither an address nor a profile's id."""
    now = account.now()
    members = [_member(account, name, f"/members/{i}") for i, name in enumerate(sent.members)]
    left = [_member(account, name, f"/unsubscribed/{i}") for i, name in enumerate(sent.unsubscribed)]
    made = account.lists.create(sent.name, now, opt_in=sent.opt_in_process, list_id=sent.id)
    made.members.update({profile.id: now for profile in members})
    for profile in left:
        profile.consents.unsubscribe_from(made.id, now=now)
    return made


def _member(account: Account, name: str, where: str) -> profiles.Profile:
    """The profile with this id or address."""
    if "@" in name:
        faults: list[Fault] = []
        rules.check_email(name, where, faults)
        rules.refuse(faults)
        return account.seed(bodies.Profile(type="profile", attributes=bodies.ProfileAttributes(email=name)))
    profile = account.profiles.get(name)
    if profile is None:
        raise invalid("neither an e-mail address nor the id of a profile", where)
    return profile
