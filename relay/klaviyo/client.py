"""Bytes out: one HTTP client for one Klaviyo account. It sends once and reports; retrying is ``delivery.policy``'s."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import msgspec

from relay.config import Site
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.klaviyo.endpoints import Endpoint
from relay.klaviyo.mapping import REVISION
from relay.klaviyo.response import answer_of

#: Klaviyo answers in well under a second; a hanging connection must not hold a lease for long.
TIMEOUT_SECONDS = 20.0
#: To each endpoint: enough for Klaviyo's steady rate of events even when every answer takes half a second.
CONNECTIONS = 32
#: Profiles on one page of an answer, at most.
MOST_FOUND = 100

#: A JSON:API document, ready to be encoded.
Body = dict[str, Any]

_JSON_API = "application/vnd.api+json"


class Traffic(Protocol):
    """Who lets calls go, and learns how they ended (``delivery.pace``)."""

    async def admit(self, endpoint: Endpoint) -> Any: ...

    def hear(self, endpoint: Endpoint, ticket: Any, answer: Answer) -> None: ...

    def give_back(self, endpoint: Endpoint, ticket: Any) -> None: ...


class KlaviyoClient:
    """Klaviyo's server API for one site. Redirects are not followed: an event never goes to another host.

    Every call waits for its turn, and is not made (``NOT_SENT``) where the endpoint has been closed meanwhile.
    """

    def __init__(self, site: Site, traffic: Traffic, *, connections: int = CONNECTIONS) -> None:
        """``connections`` to each endpoint at most."""
        self._site = site
        self._most = connections
        self._traffic = traffic
        #: Connections of their own for each endpoint: those that hang there are missed by no other.
        self._connections: dict[Endpoint, _Connections] = {}
        self._ssl = httpx.create_ssl_context()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further call; those under way may end."""
        self._stopping.set()

    async def close(self) -> None:
        for connections in self._connections.values():
            await connections.close()

    # Events

    async def create_event(self, body: Body) -> Answer:
        return await self._send(Endpoint.CREATE_EVENT, body)

    async def create_events(self, body: Body) -> Answer:
        """Up to 1,000 events: Klaviyo takes all of them or none."""
        return await self._send(Endpoint.BULK_EVENTS, body)

    # Profiles

    async def import_profile(self, body: Body) -> Answer:
        """Create or update a profile; the answer's ``document`` is the whole of it."""
        return await self._send(Endpoint.IMPORT_PROFILE, body, reads=True)

    async def look_up(self, exchange_id: str) -> Answer:
        """Whose ``_kx`` is this? ``found`` reads the answer; nobody in it means that nobody has it."""
        parameters = {"filter": f'equals(_kx,"{exchange_id}")', "fields[profile]": "email,phone_number"}
        return await self._send(Endpoint.GET_PROFILES, parameters=parameters, reads=True)

    async def find_profiles(self, field: str, values: Sequence[str], *, subscriptions: bool = False) -> Answer:
        """The profiles that have one of up to 100 ``values`` in ``field`` (``email``, ``phone_number``,
        ``external_id``, ``id``), with what they are subscribed to where that is asked for."""
        listed = ",".join(msgspec.json.encode(value).decode() for value in values)
        parameters = {"filter": f"any({field},[{listed}])", "page[size]": str(MOST_FOUND)}
        if subscriptions:
            parameters["additional-fields[profile]"] = "subscriptions"
        return await self._send(Endpoint.GET_PROFILES, parameters=parameters, reads=True)

    async def lists_of(self, klaviyo_id: str) -> Answer:
        """The lists a profile is a member of (15 calls a minute)."""
        parameters = {"include": "lists", "fields[list]": "id", "fields[profile]": "email"}
        return await self._send(Endpoint.GET_PROFILE_LISTS, parameters=parameters, reads=True, id=klaviyo_id)

    async def request_deletion(self, whom: str) -> Answer:
        """Ask Klaviyo to erase a profile (asynchronous and irreversible there).

        ``whom``: its e-mail address, ``phone:`` and its number in E.164, or ``klaviyo_id:`` and its ID.
        """
        kind, _, value = whom.rpartition(":")
        attributes = {} if kind == "klaviyo_id" else {"phone_number" if kind == "phone" else "email": value}
        named = {"type": "profile", "attributes": attributes} | ({"id": value} if kind == "klaviyo_id" else {})
        profile = {"data": named}
        body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
        return await self._send(Endpoint.REQUEST_DELETION, body)

    # Lists and subscriptions

    async def add_to_list(self, list_id: str, body: Body) -> Answer:
        return await self._send(Endpoint.ADD_TO_LIST, body, id=list_id)

    async def remove_from_list(self, list_id: str, body: Body) -> Answer:
        return await self._send(Endpoint.REMOVE_FROM_LIST, body, id=list_id)

    async def subscribe(self, body: Body) -> Answer:
        return await self._send(Endpoint.SUBSCRIBE, body)

    async def unsubscribe(self, body: Body) -> Answer:
        return await self._send(Endpoint.UNSUBSCRIBE, body)

    async def _send(
        self,
        endpoint: Endpoint,
        body: Body | None = None,
        *,
        parameters: dict[str, str] | None = None,
        reads: bool = False,
        id: str = "",
    ) -> Answer:
        # The connection first: between the leave and the call there is then nothing left to wait for.
        async with self._to(endpoint) as connection:
            if self._stopping.is_set():
                return NOT_SENT
            ticket = await self._traffic.admit(endpoint)
            if ticket is None or self._stopping.is_set():
                if ticket is not None:
                    self._traffic.give_back(endpoint, ticket)
                return NOT_SENT
            try:
                answer = await _call(connection, endpoint, body, parameters, reads, id)
            except BaseException:
                self._traffic.give_back(endpoint, ticket)
                raise
            self._traffic.hear(endpoint, ticket, answer)
            return answer

    def _to(self, endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[httpx.AsyncClient]:
        if endpoint not in self._connections:
            self._connections[endpoint] = _Connections(self._connect, self._most)
        return self._connections[endpoint].free()

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._site.klaviyo_url,
            headers={
                "Authorization": f"Klaviyo-API-Key {self._site.klaviyo_api_key or ''}",
                "revision": REVISION,
                "Accept": _JSON_API,
                "User-Agent": "backflow-relay",
            },
            verify=self._ssl,
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=1),
            follow_redirects=False,
        )


class _Connections:
    """A few connections, the last one used first. Each is a client of its own: httpx's pool looks at all of its
    connections at every request, which costs more than the request from about eight of them on, as measured."""

    def __init__(self, connect: Callable[[], httpx.AsyncClient], most: int) -> None:
        self._connect = connect
        self._all: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._permits = asyncio.Semaphore(most)

    @contextlib.asynccontextmanager
    async def free(self) -> AsyncIterator[httpx.AsyncClient]:
        """A connection that nobody else uses meanwhile."""
        async with self._permits:
            if not self._idle:
                self._all.append(self._connect())
                self._idle.append(self._all[-1])
            connection = self._idle.pop()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._all:
            await connection.aclose()


async def _call(
    connection: httpx.AsyncClient,
    endpoint: Endpoint,
    body: Body | None,
    parameters: dict[str, str] | None,
    reads: bool,
    id: str,
) -> Answer:
    operation = endpoint.value
    content = None if body is None else msgspec.json.encode(body)
    headers = {} if body is None else {"Content-Type": _JSON_API}
    path = operation.path.replace("{id}", quote(id, safe=""))
    try:
        response = await connection.request(operation.method, path, content=content, headers=headers, params=parameters)
    except httpx.HTTPError as error:
        return Answer(status=None, error=type(error).__name__)
    return answer_of(response, reads=reads)
