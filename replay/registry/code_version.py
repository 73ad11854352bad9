"""Which code is running: the commit of a checkout, or the installed distribution's version."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def code_version() -> str:
    """`<version>+<commit>`, or the version alone."""
    try:
        installed = version("limelight")
    except PackageNotFoundError:
        installed = "unknown"
    found = commit()
    return f"{installed}+{found}" if found else installed


def commit() -> str:
    """The checkout's commit, `-dirty` behind it if files differ; empty where there is none."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()
