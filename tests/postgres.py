"""A throw-away PostgreSQL for the tests: a server of their own on a socket in a folder, each test a fresh database."""

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from e2e.servers import wait_until
from relay.store.postgres import PostgresStore
from tests import factories

#: Names a running server that the tests may use instead of starting one; its user must be allowed to make databases.
VARIABLE = "RELAY_TEST_POSTGRES"
_numbers = itertools.count(1)


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is, on the path or where Debian keeps it."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


class Server:
    """A PostgreSQL server: ``database`` gives the URL of a fresh, migrated database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []
        self._template: str | None = None

    def database(self) -> str:
        if self._template is None:
            url = self.empty_database("template")
            with ThreadPoolExecutor(1) as aside:  # whoever asks may have an event loop running
                aside.submit(lambda: asyncio.run(PostgresStore(url, *factories.KEYS).close())).result()
            self._template = self._made[-1]
        return self.empty_database(str(next(_numbers)), template=self._template)

    def empty_database(self, name: str, *, template: str = "template0") -> str:
        name = f"backflow_test_{os.getpid()}_{name}"
        self._made.append(name)
        self.do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self.do("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE {}", name, template)
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        given = {key: value for key, value in conninfo_to_dict(self.url).items() if key != "dbname"}
        return f"postgresql:///{name}?{urlencode(given, quote_via=quote)}"

    def do(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def forget(self, url: str) -> None:
        """Drop a database, whoever is still in it."""
        self.do("DROP DATABASE IF EXISTS {} WITH (FORCE)", str(conninfo_to_dict(url)["dbname"]))

    def clean(self) -> None:
        for name in self._made:
            self.do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


class OwnServer(Server):
    """A server that the tests start and stop. PostgreSQL refuses to run as root, so another user is taken then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"postgresql:///postgres?host={folder}&user=postgres")
        self._folder = folder
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = next(user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        initdb = [str(program("initdb")), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C"], check=True, capture_output=True, cwd=folder, **self._as)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        settings = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [str(program("postgres")), "-D", f"{self._folder}/data", *options]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, **self._as)
        wait_until(self._answers, f"PostgreSQL answers (its log: {self._folder}/log)")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once, sessions are ended; SIGQUIT: as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url).close()
            return True
        return False


@contextlib.contextmanager
def own_server() -> Iterator[OwnServer]:
    """A server for the time of the block."""
    if program("initdb") is None or program("postgres") is None:
        pytest.skip(f"PostgreSQL's programs (initdb, postgres) are not on this machine; {VARIABLE} may name a server")
    folder = Path(tempfile.mkdtemp(prefix="backflow-postgres-"))
    server = OwnServer(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def any_server() -> Iterator[Server]:
    """The server that ``RELAY_TEST_POSTGRES`` names, else one of our own."""
    url = os.environ.get(VARIABLE)
    if url:
        server = Server(url)
        yield server
        server.clean()
    else:
        with own_server() as own:
            yield own
