"""What Windows' Python lacks is used in one module: told from mypy's stubs, which know what each system has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mypy
import pytest

import reelyard

SOURCE = Path(reelyard.__file__).parent
OWN = SOURCE / "system"
STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"
ATTRIBUTES_OF = (
    "os",
    "signal",
    "socket",
    "time",
    "asyncio",
    "select",
    "multiprocessing",
    "mmap",
    "sys",
)
FOLDERS = ("/proc", "/dev/", "/sys/", "/run/")


def holds_on_windows(test: ast.expr) -> bool | None:
    """What a stub's condition on the system comes to on Windows; None where it is about something else."""
    if isinstance(test, ast.BoolOp):
        found = [holds_on_windows(value) for value in test.values]
        decisive = isinstance(test.op, ast.Or)
        return decisive if decisive in found else (None if None in found else not decisive)
    match test:
        case ast.Compare(
            left=ast.Attribute(attr="platform"),
            ops=[operator],
            comparators=[ast.Constant(value=name)],
        ):
            return (name == "win32") is isinstance(operator, ast.Eq)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = holds_on_windows(operand)
            return None if inner is None else not inner
    return None


def names(body: list[ast.stmt], *, here: bool = True) -> Iterator[tuple[str, bool]]:
    """Each name that a stub defines, and whether Windows has it."""
    for node in body:
        match node:
            case ast.If():
                holds = holds_on_windows(node.test)
                yield from names(node.body, here=here and holds is not False)
                yield from names(node.orelse, here=here and holds is not True)
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name, here
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, here
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name, here
            case ast.ImportFrom(names=aliases):
                yield from ((alias.asname or alias.name, here) for alias in aliases)


def stub(module: str) -> list[ast.stmt]:
    path = STUBS / module / "__init__.pyi"
    text = (path if path.exists() else STUBS / f"{module}.pyi").read_text()
    return ast.parse(text).body


def lacking(module: str) -> set[str]:
    """What a module has elsewhere and not on Windows. A class in a stub may hold such names as well."""
    body = stub(module)
    for node in stub(module):
        if isinstance(node, ast.ClassDef):
            body += node.body  # signal.Signals.SIGKILL is signal.SIGKILL
    found = list(names(body))
    return {name for name, there in found if not there} - {name for name, there in found if there}


def missing_modules() -> set[str]:
    """Modules of which Windows has nothing."""
    found = set()
    for path in STUBS.glob("*.pyi"):
        rest = (
            ast.Import | ast.ImportFrom | ast.Expr | ast.Assign | ast.AnnAssign
        )  # no call, in a stub
        body = [node for node in ast.parse(path.read_text()).body if not isinstance(node, rest)]
        defined = [there for _, there in names(body)]
        if body and all(isinstance(node, ast.If) for node in body) and defined and not any(defined):
            found.add(path.stem)
    return found


LACKING = {module: lacking(module) for module in ATTRIBUTES_OF}
MODULES = missing_modules()


def used(tree: ast.AST) -> Iterator[str]:
    """What of it a module uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (one.name for one in aliases if one.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=aliases):
                if module.partition(".")[0] in MODULES:
                    yield module
                yield from (f"{module}.{one.name}" for one in aliases
                            if one.name in LACKING.get(module, ()))  # fmt: skip
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                if name in LACKING.get(module, ()):
                    yield f"{module}.{name}"
            case ast.Constant(value=str(text)):
                if text.startswith(FOLDERS):
                    yield text
            case ast.keyword(arg="preexec_fn" | "start_new_session" | "creationflags" as name):
                yield f"{name}="


def test_the_stubs_tell_what_windows_lacks() -> None:
    """Else the next test would find nothing, and prove nothing."""
    assert {
        "fork",
        "kill",
        "killpg",
        "getuid",
        "chown",
        "mkfifo",
        "sched_getaffinity",
        "register_at_fork",
    } - LACKING["os"] == {"kill"}  # Windows has a kill of its own
    assert {"SIGKILL", "SIGQUIT", "SIGHUP", "SIGUSR1", "pthread_kill", "alarm"} <= LACKING["signal"]
    assert {"fcntl", "pwd", "grp", "resource", "termios", "syslog"} <= MODULES
    assert {"getpid", "replace", "link", "utime"}.isdisjoint(LACKING["os"])
    assert not {"json", "mmap", "socket", "subprocess"} & MODULES


@pytest.mark.parametrize("text", [
    "import fcntl", "from os import fork", "import os\nos.geteuid()", "import signal\nsignal.SIGKILL",
    "subprocess.Popen(argv, preexec_fn=None)", "open('/proc/self/status')",
])  # fmt: skip
def test_a_call_that_windows_lacks_is_seen(text: str) -> None:
    assert list(used(ast.parse(text)))


def test_only_one_module_uses_what_windows_lacks() -> None:
    """Everything else runs on Windows as far as names go; what is special to Windows is beside it."""
    found = {
        f"{path.relative_to(SOURCE)}: {name}"
        for path in SOURCE.rglob("*.py")
        if not path.is_relative_to(OWN)
        for name in used(ast.parse(path.read_text()))
    }

    assert found == set()


def test_within_the_package_of_systems_it_is_posix_alone() -> None:
    others = {
        path.name
        for path in OWN.glob("*.py")
        if any(not name.startswith("/proc/") for name in used(ast.parse(path.read_text())))
    }

    assert others == {"posix.py", "windows.py"}
    windows = set(used(ast.parse((OWN / "windows.py").read_text())))
    assert windows == {"creationflags="}
