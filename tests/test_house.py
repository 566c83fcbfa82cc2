"""The house's own rules, held by a test: arrows point down, the core does no I/O, each public name is exported once."""

from __future__ import annotations

import ast
import gc
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "posline").rglob("*.py"), *(ROOT / "relay").rglob("*.py")])
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]

# what each part may import of ours, itself and posline.errors aside
MAY_IMPORT = {
    "errors": (),
    "core": (),
    "storage": ("core",),
    "trust": ("core", "storage"),
    "writer": ("core", "storage"),
    "replica": ("core", "storage", "writer"),
    "sync": ("core", "storage", "trust", "writer", "replica"),
    "till": ("core", "storage", "trust", "writer", "replica", "sync"),
    "cli": ("core", "storage", "trust", "writer", "replica", "sync", "till"),
    "relay": ("core", "storage", "trust", "writer", "replica", "sync", "till", "cli"),
}
IMPURE = {
    "asyncio", "httpx", "os", "pathlib", "random", "secrets", "select", "shutil", "signal", "socket", "sqlite3",
    "sqlite_utils", "ssl", "starlette", "subprocess", "sys", "tempfile", "threading", "time", "uvicorn", "websockets",
}  # fmt: skip
# the state machines: simulated as they are, so nothing in them may reach for a clock, a die, a socket or a file
PURE = {
    f"posline/sync/{name}.py"
    for name in ("comparing", "frames", "having", "hub", "link", "liveness", "messages", "places", "repair", "sending")
} | {
    "posline/replica.py",
    "posline/writer.py",
    "posline/storage/committed.py",
    "relay/accounting.py",
    "relay/tables.py",
}
LINES_MAX = 600  # 500 is the aim: a longer module is probably two ideas
NAMES_GIVEN = {"process_request_params", "process_response_params"}  # by websockets, to what it calls
NAMES_BARRED = re.compile(r"(?i)manager|helper|utils?$|process|(^|_)data$")


def tree(path: Path) -> ast.Module:
    gc.disable()  # a destructor that runs within the parser upsets it in Python 3.11
    try:
        return ast.parse(path.read_text(), str(path))
    finally:
        gc.enable()


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, those for type checking too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            if node.module == "posline":
                yield from (f"posline.{alias.name}" for alias in node.names)


def part(path: Path) -> str:
    first = path.relative_to(ROOT).with_suffix("").parts
    return first[0] if first[0] == "relay" else first[1]


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_arrows_point_down(path: Path) -> None:
    here = part(path)
    if here in ("__init__", "__main__"):  # the public surface looks at everything, and nothing of ours looks at it
        return
    for module in imports(path):
        top, _, rest = module.partition(".")
        if top == "relay":
            assert here == "relay", f"{path} imports {module}"
        elif top == "posline":
            there = rest.partition(".")[0]
            allowed = there in ("errors", here) or there in MAY_IMPORT[here]
            assert allowed, f"{here} may not import {module}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_the_core_and_the_state_machines_do_no_io(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if not (name.startswith("posline/core/") or name in PURE):
        return
    found = {module.partition(".")[0] for module in imports(path)} & IMPURE
    assert not found, f"{name} imports {found}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            wrong = called in ("open", "input", "print") or re.fullmatch(r"(datetime|date)\.(now|today|utcnow)", called)
            assert not wrong, f"{name} calls {called}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_module_says_what_lives_there_and_stays_readable(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "a module opens with what lives there"
    assert len(path.read_text().splitlines()) <= LINES_MAX
    assert not NAMES_BARRED.search(path.stem)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.name in NAMES_GIVEN or not NAMES_BARRED.search(node.name), f"{path}: {node.name}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_public_name_is_exported_where_it_is_made(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    exported = getattr(importlib.import_module(module), "__all__", None)
    if module in ("posline", "relay") or exported is None:
        assert path.name == "__init__.py", "a module lists its public names"
        return
    assert len(exported) == len(set(exported))
    made: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Assign):
            made |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            made.add(node.target.id)
        elif isinstance(node, ast.Try | ast.If):
            made |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert set(exported) <= made, f"{module} exports what another module makes: {set(exported) - made}"


def test_the_public_surface_is_sorted_whole_and_documented() -> None:
    import posline
    from posline import errors

    assert posline.__all__ == sorted(set(posline.__all__))
    for name in posline.__all__:
        assert getattr(posline, name).__doc__, f"posline.{name} says what it promises"
    assert set(errors.__all__) <= set(posline.__all__), "every kind of error is public"
