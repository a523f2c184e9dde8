"""Durable writes, careful reads, sealed JSON: what the commit protocol is made of.

Rules: a file appears whole or not at all (temporary file, fsync, then link or rename); nothing is read through a link,
from a special file, or beyond the size that is expected; JSON documents carry their own hash.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hpcms.errors import StorageFailure

T = TypeVar("T")
R = TypeVar("R")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TEMPORARY = ".hpcms-"
MAX_JSON = 2**28


def crash(point: str, step: int) -> None:
    """Kill this process here if the environment asks for it: ``HPCMS_CRASH_AT=point`` or ``point@step``. For tests."""
    wanted = os.environ.get("HPCMS_CRASH_AT")
    if wanted and wanted in (point, f"{point}@{step}"):
        os.kill(os.getpid(), signal.SIGKILL)


def digest(data: bytes | memoryview) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def storing(path: Path, size: int) -> Iterator[None]:
    """Turn an ``OSError`` while ``size`` bytes are written to ``path`` into a ``StorageFailure``."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            with suppress(OSError):
                free = shutil.disk_usage(path.parent).free
                raise StorageFailure(
                    f"{path}: no space left: {size} bytes needed, {free} bytes free ({error.strerror})",
                    "the last committed step is intact; make room and resume the run",
                ) from error
        raise StorageFailure(
            f"{path}: cannot write {size} bytes: {error.strerror}", "the last committed step is intact; resume the run"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    with storing(folder, 0):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _temporary(path: Path, data: bytes) -> Path:
    """``data`` durable in a new file beside ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return temporary


def together(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``work`` on all items, results in their order. Files become durable side by side: one disk flush serves many."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, items))


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that a crash left in ``folder``."""
    return [path for path in folder.iterdir() if path.name.startswith(TEMPORARY)]


def write_new(path: Path, data: bytes, point: str = "", step: int = 0) -> None:
    """Write a file that nobody may have written before. The same bytes again are accepted: a task may run twice.

    The name is made durable by the caller, once for the whole folder (``sync_folder``).
    """
    with storing(path, len(data)):
        temporary = _temporary(path, data)
        try:
            crash(point, step)
            os.link(temporary, path)
        except FileExistsError:
            if path.is_symlink() or path.stat().st_size != len(data) or path.read_bytes() != data:
                raise StorageFailure(
                    f"{path}: two writers with different data for one chunk",
                    "each chunk has one writer; resume the run: it removes what was not committed",
                ) from None
        finally:
            temporary.unlink(missing_ok=True)


def replace(path: Path, data: bytes, point: str = "", step: int = 0) -> None:
    """Replace a file durably: after a crash it holds the old bytes or the new ones."""
    with storing(path, len(data)):
        temporary = _temporary(path, data)
        try:
            crash(point, step)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def read_file(root: Path, relative: str, limit: int, exact: int | None = None, span: slice = slice(None)) -> bytes:
    """The bytes ``span`` of a regular file below ``root``; no links, at most ``limit`` bytes, ``exact`` ones if given.

    Raises ``StorageFailure``; a missing file raises its subclass ``Missing``.
    """
    if relative.startswith("/") or not set(relative.split("/")).isdisjoint({"", ".", ".."}) or "\0" in relative:
        raise StorageFailure(f"{relative!r}: leaves the run directory", "do not trust this run")
    path = os.path.join(os.path.realpath(root), relative)
    if os.path.realpath(path) != path:
        raise StorageFailure(f"{relative}: is a link, or lies behind one", "replace it by a copy of the data")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise Missing(f"{relative}: missing") from error
    except OSError as error:
        raise StorageFailure(f"{relative}: cannot be read: {error.strerror}") from error
    with open(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise StorageFailure(f"{relative}: not a regular file", "do not trust this run")
        if exact is not None and found.st_size != exact:
            raise StorageFailure(f"{relative}: {found.st_size} bytes instead of {exact}")
        if found.st_size > limit:
            raise StorageFailure(f"{relative}: {found.st_size} bytes, at most {limit} allowed", "do not trust this run")
        start, stop, _ = span.indices(found.st_size)
        stream.seek(start)
        return stream.read(max(stop - start, 0))


class Missing(StorageFailure):
    """A file that should be there is not."""


def plain(value: object) -> Any:
    """NumPy scalars and arrays, paths and sets as JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def canonical(value: object) -> bytes:
    """One text for one value: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain).encode()


def seal(body: object) -> tuple[bytes, str]:
    """A JSON document that carries the hash of its body; and that hash."""
    body = json.loads(canonical(body))  # keys become strings before they are sorted
    text = canonical(body)
    found = digest(text)
    return b'{"sha256":"' + found.encode() + b'",\n"body":' + text + b"}\n", found


def unseal(root: Path, relative: str, expected: str | None = None, limit: int = MAX_JSON) -> tuple[dict[str, Any], str]:
    """The body of a sealed document and its hash, which must be ``expected`` where given."""
    data = read_file(root, relative, limit)
    try:
        document = json.loads(data)
        body = document["body"]
        found = digest(canonical(body))
        whole = isinstance(body, dict) and found == document["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageFailure(f"{relative}: damaged or cut off: {error}") from error
    if not whole:
        raise StorageFailure(f"{relative}: damaged: the text does not match its hash")
    if expected is not None and found != expected:
        raise StorageFailure(f"{relative}: is not the file that the commit wrote")
    return body, found
