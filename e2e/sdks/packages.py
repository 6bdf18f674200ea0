"""The npm packages of the SDKs, installed once for all runs into the user's cache, outside of this repository."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parent / "package.json"


def node_packages() -> Path:
    """The folder that holds ``node_modules``. Without Node or npm the test is skipped and says so."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: the SDKs of npm are not tested in this run")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backflow-sdks"
    folder = cache / hashlib.sha256(_PACKAGE.read_bytes()).hexdigest()[:16]
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PACKAGE, folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if run.returncode:
            told = f"npm could not install the SDKs: {run.stderr.strip()[-500:]}"
            pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
        done.touch()
    return folder
