"""Our tag beside its peers, in one run and in turn: size, first request, what gets lost, the page's main thread.

``python -m tests.benchmarks.tag_peers [Plausible Snowplow ...] [--rounds 6] [--json FILE]``. Needs npm for the peers,
which go into a temporary folder. "lost" counts events that had not arrived when the case was over; "repeatedly" those
that arrived more than once (ours and Segment's repeats carry the same messageId, Snowplow's the same event ID).
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from rich.console import Console
from rich.table import Table

from e2e import chromium
from tests.benchmarks.peer_shop import OURS, PEERS, PeerShop, built, install, weight

READY = "typeof window.track === 'function'"
Result = dict[str, float]


def marker() -> str:
    return f"mk-{uuid.uuid4().hex[:12]}-end"


class Bench:
    """One browser and one shop for all tags."""

    def __init__(self, shop: PeerShop, playwright: Playwright, rounds: int) -> None:
        self.shop, self.rounds = shop, rounds
        path, arguments = chromium.find(), chromium.arguments()
        self.plain = playwright.chromium.launch(executable_path=path, args=arguments)
        self.caching = playwright.chromium.launch(
            executable_path=path, args=arguments, ignore_default_args=["--disable-back-forward-cache"]
        )

    def visit(self, name: str, browser: Browser | None = None) -> Page:
        """A new shopper on the shop's page, once the tag has arrived."""
        page = (browser or self.plain).new_context().new_page()
        page.goto(self.shop.page(name))
        page.wait_for_function(READY)
        return page

    def first_event(self, name: str) -> Result:
        """Requests before the one that carries the page's first event, preflights counted."""
        page = (self.plain).new_context().new_page()
        before, own = len(self.shop.requests), marker()
        page.goto(self.shop.page(name))
        page.wait_for_function(READY)
        page.evaluate("(own) => track('Viewed', {own})", own)
        self.shop.arrived([own], 15)
        made = self.shop.requests[before:]
        page.context.close()
        posts = [index for index, (method, path) in enumerate(made) if method == "POST" and _is_event(path)]
        return {"requests before the first event": posts[0] if posts else len(made)}

    def leaving(self, name: str, how: str) -> Result:
        """The last event before the page goes, in the same tick; nobody comes back."""
        own = [marker() for _ in range(self.rounds)]
        for one in own:
            page = self.visit(name, self.caching if how == "bfcache" else self.plain)
            page.wait_for_timeout(300)  # what its page view needs to get through
            if how == "close":
                page.evaluate("(own) => { track('Leaving', {own}); }", one)
                page.close()
            else:
                page.evaluate("([own, away]) => { track('Leaving', {own}); location.href = away; }",
                              [one, f"{self.shop.shop}/away"])  # fmt: skip
                page.wait_for_url("**/away")
            self.shop.arrived([one], 2)
            page.context.close()
        lost = len(own) - self.shop.arrived(own, 3)
        names = {"bfcache": "navigation, bfcache", "plain": "navigation, no bfcache", "close": "tab closed"}
        return {f"lost of {self.rounds}: {names[how]}": lost}

    def down_until_next_page(self, name: str) -> Result:
        own = [marker() for _ in range(self.rounds)]
        for one in own:
            page = self.visit(name)
            page.wait_for_timeout(300)
            self.shop.down = True
            page.evaluate("([own, away]) => { track('Down', {own}); location.href = away; }",
                          [one, f"{self.shop.shop}/away"])  # fmt: skip
            page.wait_for_url("**/away")
            page.wait_for_timeout(500)
            self.shop.down = False
            page.goto(self.shop.page(name))
            page.wait_for_function(READY)
            self.shop.arrived([one], 6)
            page.context.close()
        return {f"lost of {self.rounds}: relay down, next page": len(own) - self.shop.arrived(own, 1)}

    def down_ten_seconds(self, name: str) -> Result:
        own = [marker() for _ in range(5)]
        page = self.visit(name)
        page.wait_for_timeout(500)
        self.shop.down = True
        threading.Timer(10, lambda: setattr(self.shop, "down", False)).start()
        for one in own:
            page.evaluate("(own) => { track('Down', {own}); }", one)
        lost = len(own) - self.shop.arrived(own, 30)
        page.context.close()
        self.shop.down = False
        return {"lost of 5: relay down 10 s, page stays, within 30 s": lost}

    def before_the_script(self, name: str) -> Result:
        """The tag's script is still on its way when the shopper leaves; the calls wait in what the page offers."""
        own = [marker() for _ in range(self.rounds)]
        for one in own:
            self.shop.hold = threading.Event()
            page = self.plain.new_context().new_page()
            page.goto(self.shop.page(name), wait_until="commit")
            page.evaluate("""([own, away]) => { const waiting = window.waiting = [];
              if (window.backflow) backflow.track('Early', {own}); else waiting.push(['Early', {own}]);
              location.href = away; }""", [one, f"{self.shop.shop}/away"])  # fmt: skip
            page.wait_for_url("**/away")
            self.shop.hold.set()
            self.shop.hold = None
            self.shop.arrived([one], 1)
            page.context.close()
        return {f"lost of {self.rounds}: left before the script": len(own) - self.shop.arrived(own, 1)}

    def thirty_large(self, name: str) -> Result:
        own = [marker() for _ in range(30)]
        page = self.visit(name)
        page.wait_for_timeout(300)
        page.evaluate("""([own, next]) => {
          for (const one of own) track('Large', {own: one, text: 'x'.repeat(4000)});
          location.href = next; }""", [own, self.shop.page(name) + "next"])  # fmt: skip
        page.wait_for_url("**/next")
        page.wait_for_function(READY)
        lost = len(own) - self.shop.arrived(own, 15)
        page.wait_for_timeout(1000)
        repeated = sum(self.shop.count(one) > 1 for one in own)
        page.context.close()
        return {"lost of 30: 30 x 4 KB, one more page": lost, "of them arrived repeatedly": repeated}

    def main_thread(self, name: str) -> Result:
        """Load, page view, one call at a quarter of the speed: ms of script and of tasks, and the longest task.

        The thread's own time, so that what else runs on the machine does not count.
        """
        page = self.plain.new_context().new_page()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        page.add_init_script("""window.tasks = [0]; new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) tasks.push(entry.duration); }).observe({type: "longtask"});""")
        own = marker()
        page.goto(self.shop.page(name))
        page.wait_for_function(READY, polling=200)
        page.evaluate("(own) => track('Viewed', {own})", own)
        if name != "nothing":
            self.shop.arrived([own], 15)
        page.wait_for_timeout(1500)
        values = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
        longest = page.evaluate("Math.max(...tasks)")
        page.context.close()
        return {"script": values["ScriptDuration"] * 1000, "task": values["TaskDuration"] * 1000, "longest": longest}


def _is_event(path: str) -> bool:
    return not any(part in path for part in ("settings", "sourceConfig", "/flags", "/decide", "/array/"))


def measure(bench: Bench, names: list[str], say: Callable[[str], None]) -> dict[str, Result]:
    """Every case with every tag in turn."""
    cases: list[Callable[[str], Result]] = [
        bench.first_event,
        *(lambda name, how=how: bench.leaving(name, how) for how in ("bfcache", "plain", "close")),
        bench.down_until_next_page, bench.before_the_script, bench.thirty_large, bench.down_ten_seconds,
    ]  # fmt: skip
    results: dict[str, Result] = {name: {"size, bytes brotli 11": weight(bench.shop.scripts[name])} for name in names}
    for case in cases:
        for name in names:
            try:
                results[name] |= case(name)
            except Exception as error:
                bench.shop.down, bench.shop.hold = False, None
                say(f"{name}: {getattr(case, '__name__', case)} did not come to an end: {str(error)[:100]}")
    samples: dict[str, list[Result]] = {name: [] for name in ["nothing", *names]}
    for _ in range(max(15, bench.rounds)):
        for name in samples:
            samples[name].append(bench.main_thread(name))
    empty = {key: statistics.median(sample[key] for sample in samples["nothing"]) for key in ("script", "task")}
    for name in names:
        for key in ("script", "task"):
            own = statistics.median(sample[key] for sample in samples[name])
            results[name][f"main thread at 1/4 speed, ms of {key}"] = own - empty[key]
        results[name]["longest task, ms (0: none over 50)"] = statistics.median(s["longest"] for s in samples[name])
    return results


def show(results: dict[str, Result], versions: dict[str, str]) -> None:
    names = list(results)
    table = Table("", *(f"{name} {versions.get(name, '')}".strip() for name in names), "ours / best peer")
    for what in results[OURS]:
        values = [results[name].get(what) for name in names]
        peers = [value for name, value in zip(names, values, strict=True) if name != OURS and value is not None]
        best = min(peers) if peers else 0
        ratio = f"{results[OURS][what] / best:.2f}" if best else "-"
        table.add_row(what, *("did not run" if value is None else f"{value:,.0f}" for value in values), ratio)
    Console(width=200).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", default=list(PEERS), metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, PeerShop() as shop, sync_playwright() as playwright:
        versions: dict[str, str] = {}
        for name, version in install(Path(folder), options.peers).items():
            try:
                shop.scripts[name] = built(Path(folder), name, shop.relay)
                versions[name] = version
            except subprocess.CalledProcessError as error:
                console.print(f"{name} {version} could not be built: {error.stderr.decode()[:300]}")
        names = [OURS, *versions]
        results: dict[str, Any] = measure(Bench(shop, playwright, options.rounds), names, console.print)
        show(results, versions)
        if options.json:
            options.json.write_text(json.dumps({"versions": versions, "results": results}, indent=1))


if __name__ == "__main__":
    main()
