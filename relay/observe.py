"""What operators see: log lines and Prometheus metrics. Neither ever holds payloads, identifiers or keys.

The sums come from the database itself, in the transactions that moved them; a scrape reads them, so they are true
across restarts and for every process.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.errors import StoreError

_HOUSE = Path(__file__).parent
#: Fields a log line may carry beside its message: counts, reasons and names of ours.
FIELDS = ("site", "reason", "problem", "rescued", "request_id", "key", "deleted", "expired", "url")


class LineFormatter(logging.Formatter):
    """One JSON object a line, of the allowed fields only."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        return json.dumps(line)


def set_up_logging(level: str = "INFO") -> None:
    """Log to stderr. httpx is kept quiet: it logs URLs, and a profile look-up has an identifier in its URL."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "yoyo"):
        logging.getLogger(name).setLevel(logging.WARNING)


def describe(error: BaseException) -> str:
    """An exception as its type and the line of ours that raised it: its text may quote what a shopper typed."""
    if isinstance(error, StoreError):
        return f"{type(error).__name__}: {error}"  # the database's own words: no values of rows
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if _HOUSE in Path(frame.filename).parents] or every
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class Sums(Collector):
    """The database's sums as Prometheus metrics. ``refresh`` before each scrape."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, str, str, int]] = []
        self._deliveries: list[tuple[str, str, str, int]] = []
        self._pauses: list[tuple[str, str]] = []
        self._labels: list[tuple[str, str, int]] = []
        self._off: list[tuple[str, str, bool]] = []

    def refresh(
        self,
        messages: list[tuple[str, str, str, int]],
        deliveries: list[tuple[str, str, str, int]],
        pauses: list[tuple[str, str]],
        off: Iterable[tuple[str, str, bool]] = (),
    ) -> None:
        """``messages``: (site, end, reason, n); ``deliveries``: (site, state, reason, n); ``pauses``: (site, scope);
        ``off``: (site, class of evidence, whether it is switched off). The ledger's labels are among its messages."""
        self._messages = [row for row in messages if row[1] != "label"]
        self._labels = [(site, label, n) for site, name, label, n in messages if name == "label"]
        self._deliveries, self._pauses, self._off = deliveries, pauses, list(off)

    def collect(self) -> Iterable[Metric]:
        messages = CounterMetricFamily(
            "backflow_messages", "Messages: received = accepted + duplicate + dropped", labels=["site", "end", "reason"]
        )
        for site, name, reason, n in self._messages:
            messages.add_metric([site, name, reason], n)
        deliveries = GaugeMetricFamily(
            "backflow_deliveries", "Deliveries kept, by state and reason", labels=["site", "state", "reason"]
        )
        for site, state, reason, n in self._deliveries:
            deliveries.add_metric([site, state, reason], n)
        paused = GaugeMetricFamily(
            "backflow_destination_paused", "1 while Klaviyo refuses the key", labels=["site", "scope"]
        )
        for site, scope in self._pauses:
            paused.add_metric([site, scope], 1)
        labels = CounterMetricFamily(
            "backflow_identity_labels",
            "What a person's own later sign said of what had tied them to their browser: right, wrong or missed",
            labels=["site", "evidence", "verdict"],
        )
        for site, label, n in self._labels:
            evidence, _, verdict = label.rpartition(":")
            labels.add_metric([site, evidence, verdict], n)
        off = GaugeMetricFamily(
            "backflow_identity_evidence_off",
            "1 while a class of evidence is switched off: it has named the wrong person too often",
            labels=["site", "evidence"],
        )
        for site, evidence, is_off in self._off:
            off.add_metric([site, evidence], int(is_off))
        return [messages, deliveries, paused, labels, off]
