"""What a shop asks on behalf of a customer: to erase them, or to tell them what is kept of them.

Such a request comes through the journal like every message, and ends as a row that stays open until it has been carried
out (``relay.privacy``). It is no event: nothing of it reaches the graph or Klaviyo.
"""

import msgspec

from relay.model import Trust
from relay.pipeline.parse import REQUEST_TYPE
from relay.pipeline.work import End, Work
from relay.store.requests import Request, Subject, Topic


def hear_requests(work: Work) -> End | None:
    """Note a request of the shop's; a request that was repeated is noted once."""
    if work.message.type != REQUEST_TYPE or work.entry.trust is not Trust.SERVER:
        return None
    request = Request(
        site_id=work.site.site_id,
        request_id=work.message.message_id,
        topic=Topic(work.message.event or ""),
        subject=msgspec.convert(work.message.traits, Subject),
        received_at=work.entry.received_at,
    )
    return End("accepted") if work.tx.requests.add(request) else End("duplicate")
