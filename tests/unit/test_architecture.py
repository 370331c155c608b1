"""The lines the source keeps: who may import whom, and what a PURE module may touch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "agent", "dialer", "simulator")
SOURCES = sorted(
    path
    for folder in ("shared", "services", "deploy", "tests")
    for path in (ROOT / folder).rglob("*.py")
) + sorted(ROOT.glob("*.py"))
PRODUCT = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("shared", "services")]
PURE = [
    path
    for path in SOURCES
    if (ast.get_docstring(ast.parse(path.read_text())) or "").startswith("PURE")
]

# A PURE module holds rules: it meets the clock, chance and the world only as arguments.
NOT_PURE = {
    *("asyncio", "socket", "selectors", "ssl", "threading", "multiprocessing", "concurrent"),
    *("subprocess", "signal", "os", "shutil", "tempfile", "time", "random", "secrets", "uuid"),
    *("redis", "fastapi", "starlette", "uvicorn", "uvloop", "httpx", "websockets", "requests"),
    *("urllib.request", "http.client", "http.server", "logging", "structlog", "prometheus_client"),
    *("onnxruntime", "pocketsphinx", "pydantic_settings", "pyngrok"),
    *("deepgram", "openai", "livekit", "opentelemetry"),
}
# Folders of the protocol and the codecs are pure as a whole, whatever their docstrings say.
PURE_FOLDERS = ("shared/protocol", "shared/audio")
FILES_ON_DISK = {"shared/audio/wav.py"}  # reads and writes them, which is its whole purpose


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> Iterator[str]:
    """Every imported module, `from x import y` given as x and as x.y."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("service", SERVICES)
def test_services_never_import_each_other(service: str) -> None:
    others = [f"services.{other}" for other in SERVICES if other != service]
    for path in (ROOT / "services" / service).rglob("*.py"):
        crossing = [m for m in _imports(path) for other in others if _is_within(m, other)]
        assert crossing == [], _name(path)


def test_shared_imports_no_service() -> None:
    for path in (ROOT / "shared").rglob("*.py"):
        assert [m for m in _imports(path) if _is_within(m, "services")] == [], _name(path)


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_the_product_imports_neither_its_tests_nor_its_tools(path: Path) -> None:
    foreign = [m for m in _imports(path) if _is_within(m, "tests") or _is_within(m, "deploy")]
    assert foreign == []


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_the_product_imports_only_what_is_declared(path: Path) -> None:
    """What is imported is the standard library, ours, or a package of the service's own group."""
    known = {*sys.stdlib_module_names, "shared", "services", *_DECLARED}
    assert {module.partition(".")[0] for module in _imports(path)} - known == set()


# Import names of what pyproject.toml lists for the product.
_DECLARED = {
    *("prometheus_client", "pydantic", "pydantic_settings", "redis", "structlog"),
    *("msgspec", "obstore"),
    *("fastapi", "starlette", "uvicorn", "uvloop", "websockets", "httpx", "pyngrok"),
    *("numpy", "onnxruntime", "pocketsphinx", "soxr", "threadpoolctl", "espeakng_loader", "yaml"),
    *("deepgram", "openai", "livekit"),
    *("defusedxml", "matplotlib", "phonenumbers", "opentelemetry", "rich"),
}


@pytest.mark.parametrize("path", PURE, ids=_name)
def test_pure_modules_touch_nothing_outside(path: Path) -> None:
    touched = {m for m in _imports(path) for banned in NOT_PURE if _is_within(m, banned)}
    assert touched == set()


@pytest.mark.parametrize("path", PURE, ids=_name)
def test_pure_modules_never_await(path: Path) -> None:
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)  # `async def` alone may fit a Protocol
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waits)]
    assert [node.lineno for node in found] == []


@pytest.mark.parametrize("path", PURE, ids=_name)
def test_what_pure_modules_import_of_ours_touches_nothing_outside_either(path: Path) -> None:
    modules = {_name(p).removesuffix(".py").replace("/", "."): p for p in PRODUCT}
    seen, waiting = set[Path](), [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(modules[m] for m in _imports(current) if m in modules)
    touched = {
        (_name(p), m) for p in seen for m in _imports(p) for b in NOT_PURE if _is_within(m, b)
    }
    assert touched == set()


def test_protocol_and_audio_are_pure_throughout() -> None:
    inside = {
        path
        for path in PRODUCT
        if _name(path).startswith(PURE_FOLDERS) and path.name != "__init__.py"
    }
    assert {_name(path) for path in inside - set(PURE)} == FILES_ON_DISK


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [_name(path) for path in SOURCES if path.stem in empty] == []


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_nothing_happens_at_import(path: Path) -> None:
    """No module-level call awaits, prints, opens or starts; clients are built by __main__."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            pytest.fail(f"{_name(path)}:{node.lineno} calls something at import")


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_the_environment_is_read_by_settings_alone(path: Path) -> None:
    reads = [m for m in _imports(path) if m in ("os.environ", "os.getenv")]
    named = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert (reads, named) == ([], [])


GATEWAY_FLOORS = ("wire", "workers", "media", "calls", "routes")
"""The gateway's rooms, lowest first; `access` asks nobody."""


@pytest.mark.parametrize("floor", GATEWAY_FLOORS)
def test_a_room_of_the_gateway_asks_only_those_below_it(floor: str) -> None:
    above = GATEWAY_FLOORS[GATEWAY_FLOORS.index(floor) + 1 :]
    for path in (ROOT / "services/gateway" / floor).rglob("*.py"):
        found = [m for m in _imports(path) for a in above if _is_within(m, f"services.gateway.{a}")]
        assert not found, f"{_name(path)} imports {found}"


def test_who_is_let_in_at_the_gateway_is_judged_without_its_rooms() -> None:
    for path in (ROOT / "services/gateway/access").rglob("*.py"):
        ours = [m for m in _imports(path) if _is_within(m, "services.gateway")]
        assert all(_is_within(m, "services.gateway.access") for m in ours), _name(path)
