"""Every module can be imported where Python lacks what Windows' lacks: no default value, no class body uses it."""

from __future__ import annotations

import json
import subprocess
import sys

from .test_platform_names import LACKING, MODULES

WITHOUT = """
import importlib, json, pkgutil, sys
lacking, modules = json.loads(sys.argv[1])
import reelyard
names = [one.name for one in pkgutil.walk_packages(reelyard.__path__, "reelyard.")
         if not one.name.endswith("__main__") and ".migrations.env" not in one.name]
posix = "reelyard.system.posix"
for name in names:  # others' libraries are loaded as they are
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "reelyard"]:
    del sys.modules[name]
for module in modules:
    sys.modules[module] = None
for module, attributes in lacking.items():
    for attribute in attributes:
        if hasattr(sys.modules.get(module), attribute) and attribute not in KEPT:
            delattr(sys.modules[module], attribute)
sys.platform = "win32"
import sqlalchemy.orm
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""
KEPT: set[str] = {"get_blocking", "geteuid", "getuid"}
"""What the test's own Python goes on needing."""


def test_all_modules_but_one_are_imported_without_what_windows_lacks() -> None:
    given = json.dumps([{name: sorted(found) for name, found in LACKING.items()}, sorted(MODULES)])
    code = WITHOUT.replace("KEPT", repr(KEPT))
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", code, given],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert list(json.loads(done.stdout.splitlines()[-1])) == ["reelyard.system.posix"]
