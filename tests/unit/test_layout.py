"""The arrows of the house: who may import whom, read from the imports themselves; names and printing."""

import ast
from functools import cache
from pathlib import Path

import pytest

import relay

ROOT = Path(relay.__file__).parent
#: Rules without I/O: tested as tables, and free of everything that talks to the world.
PURE = {
    "relay.model", "relay.errors", "relay.clock", "relay.identity.cookie", "relay.identity.evidence",
    "relay.identity.behaviour", "relay.identity.claims", "relay.identity.guards",
    "relay.identity.identifiers", "relay.identity.link_token",
    "relay.identity.measure", "relay.identity.plan", "relay.identity.resolve", "relay.identity.telling",
    "relay.identity.tenure",
    "relay.identity.traces",
    "relay.pipeline.parse", "relay.pipeline.mend", "relay.pipeline.shopify_webhooks",
    "relay.pipeline.shopify_resources",
    "relay.pipeline.canonical", "relay.pipeline.vocabulary", "relay.pipeline.products", "relay.pipeline.shopify",
    "relay.pipeline.values", "relay.pipeline.consent", "relay.pipeline.decide", "relay.pipeline.addresses",
    "relay.pipeline.instructions", "relay.pipeline.optin", "relay.pipeline.metrics", "relay.pipeline.pages",
    "relay.pipeline.event_lists", "relay.pipeline.withheld",
    "relay.klaviyo.mapping", "relay.klaviyo.custom", "relay.klaviyo.links", "relay.klaviyo.patches",
    "relay.klaviyo.traits",
    "relay.klaviyo.properties", "relay.klaviyo.profiles", "relay.klaviyo.limits", "relay.klaviyo.currencies",
    "relay.klaviyo.answer", "relay.klaviyo.bulk", "relay.klaviyo.consent", "relay.klaviyo.lists",
    "relay.klaviyo.subscriptions", "relay.klaviyo.endpoints", "relay.delivery.breaker",
    "relay.delivery.policy", "relay.delivery.states", "relay.delivery.quota", "relay.store.vault",
}  # fmt: skip
#: What talks to a database, a socket or a person.
WORLDLY = {"relay.store", "relay.web", "relay.klaviyo.client", "relay.delivery.worker", "relay.app", "relay.cli"}
IO_LIBRARIES = {
    "httpx",
    "sqlite3",
    "psycopg",
    "psycopg_pool",
    "starlette",
    "uvicorn",
    "socket",
    "subprocess",
    "typer",
    "rich",
    "yoyo",
    "aiolimiter",
}


def modules() -> dict[str, Path]:
    """Every module of the package and its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("relay", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(), MODULES[module].name)


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, wherever in it: modules of ours by their full name, libraries by their first part."""
    found = set[str]()
    for node in ast.walk(tree(module)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports say the whole name"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] != "relay":
                found.add(name.partition(".")[0])
            elif name in MODULES:
                found.add(name)
            else:
                found.add(name.rpartition(".")[0])  # a name inside a module
    return frozenset(found)


@cache
def reaches(module: str) -> frozenset[str]:
    """What a module imports, and what that imports, and so on; of ours only."""
    seen, todo = set[str](), [module]
    while todo:
        for name in imports(todo.pop()):
            if name in MODULES and name not in seen:
                seen.add(name)
                todo.append(name)
    return frozenset(seen)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def of(*packages: str) -> list[str]:
    return [module for module in MODULES if within(module, *packages)]


def test_the_pure_modules_are_there() -> None:
    assert set(MODULES) >= PURE


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_reaches_nothing_that_talks_to_the_world(module: str) -> None:
    assert sorted(name for name in reaches(module) if within(name, *WORLDLY)) == []
    assert imports(module) & IO_LIBRARIES == set()


@pytest.mark.parametrize("module", ["relay.model", "relay.errors", "relay.clock"])
def test_the_floor_stands_on_nothing_of_ours(module: str) -> None:
    assert reaches(module) == set()


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        pytest.param(
            "relay.store",
            ("relay.web", "relay.app", "relay.cli", "relay.delivery.worker", "relay.klaviyo.client",
             "relay.pipeline.process", "relay.pipeline.steps", "relay.demo"),
            id="store",
        ),
        pytest.param(
            "relay.config",
            ("relay.store", "relay.pipeline", "relay.klaviyo", "relay.delivery", "relay.web", "relay.app", "relay.cli"),
            id="config",
        ),
        pytest.param("relay.klaviyo", ("relay.store", "relay.web", "relay.delivery", "relay.app"), id="klaviyo"),
        pytest.param("relay.pipeline", ("relay.web", "relay.app", "relay.klaviyo.client", "relay.demo"), id="pipeline"),
        pytest.param("relay.delivery", ("relay.web", "relay.app", "relay.pipeline.steps", "relay.demo"), id="sender"),
        pytest.param("relay.web", ("relay.app", "relay.cli", "relay.demo", "relay.delivery.worker"), id="web"),
        pytest.param("relay.demo.sandbox", ("relay.klaviyo", "relay.store", "relay.web", "relay.app"), id="sandbox"),
        pytest.param("relay.demo.storefront", ("relay.klaviyo", "relay.store", "relay.web", "relay.app"), id="shop"),
    ],
)  # fmt: skip
def test_imports_run_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    """The sandbox and the shop stand in for others, so they share nothing with the relay they test."""
    wrong = [(module, name) for module in of(package) for name in imports(module) if within(name, *forbidden)]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("relay.app", ("relay.cli", "relay.demo")),
        ("relay.cli", ("relay.__main__", "relay.cli")),
        ("relay.demo", ("relay.cli", "relay.demo")),
        ("relay.doctor", ("relay.cli",)),
        ("relay.workers", ("relay.app",)),
        ("relay.store.sqlite", ("relay.app", "relay.store")),
        ("relay.store.postgres", ("relay.app", "relay.store")),
        ("relay.store.writer", ("relay.store.sqlite",)),
        ("relay.store.checkpoints", ("relay.store.writer",)),
        ("relay.store.files", ("relay.store.sqlite", "relay.store.writer", "relay.store.checkpoints")),
        ("relay.store.statistics", ("relay.store.sqlite",)),
        ("relay.store.persons", ("relay.store.identifiers",)),
        ("relay.store.identifiers", ("relay.store.claimed", "relay.store.holdings")),
        ("relay.store.claimed", ("relay.store.links",)),
        ("relay.klaviyo.client", ("relay.workers", "relay.doctor", "relay.delivery")),
    ],
)
def test_who_may_import_the_upper_floors(module: str, allowed: tuple[str, ...]) -> None:
    importers = [name for name in MODULES if any(within(found, module) for found in imports(name))]
    assert [name for name in importers if not within(name, *allowed)] == []


def test_behaviour_is_known_to_nobody_who_decides_whose_an_event_is_or_sends_it() -> None:
    """Only the step that suspects reads it; the console may show it."""
    parts = ("relay.identity.behaviour", "relay.store.sketches", "relay.pipeline.suspect")
    allowed = {
        "relay.identity.behaviour": {"relay.store.sketches", "relay.pipeline.suspect"},
        "relay.store.sketches": {"relay.store.base", "relay.store.retention", "relay.pipeline.suspect"},
        "relay.pipeline.suspect": {"relay.pipeline.process", "relay.pipeline.attribute"},
    }
    importers = {part: {name for name in MODULES if part in imports(name)} for part in parts}
    assert {p: {n for n in importers[p] if not within(n, "relay.web.console")} for p in parts} == allowed
    readers = {
        module
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and node.attr in {"suspicion", "suspicions", "candidates"}
        if isinstance(node.value, ast.Attribute) and node.value.attr == "sketches"
    }
    assert {name for name in readers if not within(name, "relay.web.console")} == {"relay.pipeline.suspect"}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert [module for module in MODULES if module in reaches(module)] == []


def test_only_the_command_line_prints() -> None:
    def prints(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"

    assert [m for m in MODULES if any(prints(node) for node in ast.walk(tree(m)))] == []
    assert {m for m in MODULES if imports(m) & {"typer", "rich"}} <= set(of("relay.cli"))


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = ("util", "helper", "common", "misc", "manager")
    assert [m for m in MODULES if any(part.startswith(drawers) for part in m.split("."))] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(module))


def test_the_runtime_needs_no_library_of_the_tests() -> None:
    tools = {"pytest", "hypothesis", "playwright", "klaviyo_api", "tests", "e2e"}
    assert [(module, sorted(imports(module) & tools)) for module in MODULES if imports(module) & tools] == []
