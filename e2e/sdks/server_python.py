"""A shop's server with one of the published Python SDKs: ``server_python.py segment|rudderstack <story as JSON>``."""

import json
import sys
from typing import Any


def main(which: str, story: dict[str, Any]) -> None:
    failures: list[object] = []

    def note(error: object, *_: object) -> None:
        failures.append(error)

    client: Any
    if which == "segment":
        from segment.analytics.client import Client as SegmentClient

        client = SegmentClient(story["key"], host=story["url"], on_error=note, gzip=True)
    else:
        from rudderstack.analytics.client import Client as RudderStackClient

        client = RudderStackClient(story["key"], host=story["url"], on_error=note)
    user_id, anonymous_id = story["userId"], story["anonymousId"]
    client.track(anonymous_id=anonymous_id, event="Product Added", properties=story["cart"])
    client.identify(user_id, story["traits"])
    client.alias(anonymous_id, user_id)
    client.track(user_id, "Order Completed", story["order"])
    client.page(user_id, name="Thanks", properties={"url": "https://shop.example/thanks", "title": "Thanks"})
    client.group(user_id, story["group"], {"plan": "gold"})
    client.flush()
    client.join()
    if failures:
        sys.exit(repr(failures))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
