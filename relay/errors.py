"""The exceptions of the relay.

BackflowError
├── SettingsError        a missing or bad setting; stops the start and names its key
├── RequestRefused       a request is answered with an error of the public contract
├── StoreError           the database did not do what was asked
│   ├── StoreBusy        the bounded write queue is full: answer 503 with Retry-After
│   ├── StoreUnavailable the database cannot be written (disk full, read-only, closed, corrupt)
│   └── StoreRefused     the database will never take this value (too long for an index, against a constraint)
└── IllegalTransition    a delivery was asked to take a step its state machine does not have

Expected ends of an event (dropped, waiting, suppressed, dead) are values in ``model``, not exceptions.
"""

import uuid


class BackflowError(Exception):
    """Base of every error the relay raises on purpose."""


class SettingsError(BackflowError):
    """A setting is missing or cannot be used; ``key`` is its name in the environment or the file."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class RequestRefused(BackflowError):
    """A request ends with this status, code and message; ``retry_after`` is in seconds."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.request_id = uuid.uuid4().hex  #: by which the log names the same problem

    def document(self) -> dict[str, dict[str, str]]:
        """The body of every error the relay answers."""
        return {"error": {"code": self.code, "message": self.message, "request_id": self.request_id}}


class StoreError(BackflowError):
    """The database did not do what was asked."""


class StoreBusy(StoreError):
    """More writes are queued than the store promises to hold."""


class StoreUnavailable(StoreError):
    """The database cannot be read or written now."""


class StoreRefused(StoreError):
    """The database works, and this value is none it can keep: trying again changes nothing."""


class IllegalTransition(BackflowError):
    """A delivery cannot go from its state to the one asked for."""
