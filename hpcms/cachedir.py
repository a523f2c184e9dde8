"""Where compiled kernels are kept: one folder for each node, version of numba and of the sources that are compiled.

Per node because numba's cache can race on a shared file system; per source because numba does not notice when a kernel
that another kernel calls has changed in another file, and then old and new code would give different bits.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


def numba_cache() -> Path:
    """The folder, made if it is not there; a private temporary one where no lasting one can be written."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    name = f"{socket.gethostname()}-{_sources()}"
    for base in (root / "hpcms" / "numba", Path(tempfile.gettempdir()) / f"hpcms-numba-{os.getuid()}"):
        folder = base / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        # compiled code is executed: a folder of somebody else is not trusted
        if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="hpcms-numba-"))


def use() -> None:
    """Let numba keep its code there, unless the environment says otherwise. To be called before numba is imported."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(numba_cache()))
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def _sources() -> str:
    """A short hash of the Python and numba versions and of everything that is compiled."""
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256(f"{package} {sys.version} {version('numba')}".encode())
    for path in sorted([*(package / "kernels").rglob("*.py"), *(package / "fine").glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
