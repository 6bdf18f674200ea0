"""Values that must not be seen."""


class Secret(str):
    """A string that does not show itself in repr, logs and tracebacks' locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('**********')"
