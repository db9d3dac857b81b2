"""YAML mappings, and atomic writes, which rename when they are done."""

import ctypes
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fer_repro.errors import UserError
from fer_repro.plain_yaml import parse_yaml
from fer_repro.project_files import NO_PROJECT

if sys.platform != "win32":
    import fcntl

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of the kernel


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def natural_order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Key that sorts paths folder by folder with numbers by value: ``2.png`` comes before ``10.png``.

    Only the digits 0 to 9 count; where values are equal (``1``, ``01``) the shorter spelling comes first.
    """
    return tuple(_natural(part) for part in path.parts)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    pieces = re.split(r"([0-9]{1,4000})", name)  # texts, then numbers; int() reads at most 4,300 digits
    return tuple((int(piece), len(piece), "") if n % 2 else (0, 0, piece) for n, piece in enumerate(pieces))


def parse_pairs(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read ``key=value`` pairs of a command line; values are YAML 1.2, so ``true`` and ``1e-3`` are no texts.

    Args:
        pairs: e.g. ``["seed=0", "recipe.epochs=3"]``.
        option: how the pairs were given, for messages, e.g. ``-p``.

    Raises:
        UserError: a pair without ``=``, a key given twice, or a value that is no YAML.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        key = key.strip()
        if not separator or not all(part.isidentifier() for part in key.split(".")):
            raise UserError(f"{option} {pair}: expected key=value, such as {option} seed=0")
        if key in values:
            raise UserError(f"{option} {pair}: '{key}' is given twice")
        values[key] = parse_yaml(text, f"{option} {pair}") if text.strip() else ""
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping as YAML 1.2: ``1e-3`` is a number, ``no`` is a string, repeated keys are errors.

    Raises:
        UserError: the file is missing, is no YAML or no mapping.
    """
    try:
        loaded = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_elsewhere(path)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected a mapping of keys at the top, found {type(loaded).__name__}")
    return loaded


def read_json(path: Path, expected: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file.

    Args:
        path: the file.
        expected: what it should hold, for the message where it is missing.

    Raises:
        UserError: it is missing, no UTF-8, no JSON, or nested too deeply.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None


def _elsewhere(path: Path) -> str:
    """Name the folder of a file that was searched for in another one."""
    here = Path.cwd()
    for folder in here.parents:
        if not path.is_absolute() and (folder / path).is_file():
            return f"it lies in {folder}, and you are in {here}: cd {folder}"
    return f"{NO_PROJECT}; or name its place (--params)"


def check_name(path: Path) -> None:
    """Refuse the name of a model or video that its libraries cannot read again, or crash at.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name is not UTF-8, as models and videos need; choose another") from None


def file_state(path: Path) -> list[str | int]:
    """Name a file with its size and its time of change in nanoseconds, -1 where it cannot be looked up."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return [path.as_posix(), -1, -1]
    return [path.as_posix(), found.st_size, found.st_mtime_ns]


def keep_existing(paths: Iterable[Path], force: bool = False) -> None:
    """Refuse to write over files that are there; commands call it before they begin to work.

    Args:
        paths: what would be written.
        force: the user has allowed it.

    Raises:
        UserError: naming the first that exists.
    """
    for path in paths:
        if not force and os.path.lexists(path):
            raise UserError(f"{path} exists already; nothing was changed (--force replaces it)")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` on success, delete it on failure.

    The temporary name is fixed because ``torch.save`` stores the file's name in the file; a second process
    that writes the same file waits for the first. The file gets the mode that the umask gives, also from
    libraries that write through a private file of their own, as safetensors does.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with one_writer(path, wait=True):
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode & 0o777
            temporary.unlink()  # so that a caller that writes nothing leaves no file
            yield temporary
            temporary.chmod(mode)
            _to_disk(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; rename it to ``path`` on success, delete it on failure.

    A folder that is replaced stays whole under its name until the new one takes it, in one step where the
    system knows how to exchange two names. While another process writes the folder, ``force`` waits.

    Raises:
        UserError: ``force`` is false, and ``path`` exists already or another process is writing it.
    """
    keep_existing([path], force)
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    with one_writer(path, wait=force):
        if old.exists() and not path.exists():
            old.rename(path)  # a process was killed between the two steps
        keep_existing([path], force)
        _remove(temporary)
        temporary.mkdir()
        try:
            yield temporary
            keep_existing([path], force)
            for file in temporary.rglob("*"):
                if file.is_file() and not file.is_symlink():
                    _to_disk(file)
            _take_name(temporary, path, old)
        finally:
            _remove(temporary)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk; else a power cut may leave its new name without its bytes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _take_name(temporary: Path, path: Path, old: Path) -> None:
    """Rename a folder; what had the name before ends as ``temporary`` or is gone."""
    if not os.path.lexists(path):
        temporary.rename(path)
    elif not _exchange(temporary, path):
        _remove(old)
        path.rename(old)
        temporary.rename(path)
    _remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; returns whether the system could."""
    swap: Any = getattr(_LIBC, "renameat2", None)
    return swap is not None and swap(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0


def _remove(path: Path) -> None:
    """Delete a folder; of a link only the link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def one_writer(path: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from writing ``path``; the system frees the lock of one that was killed.

    Args:
        path: a file or folder; it need not be there yet.
        wait: until the other has ended.

    Raises:
        UserError: another process writes it, and ``wait`` is false.
    """
    if sys.platform == "win32":
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock.tmp")  # git and DVC ignore .*.tmp
    file = _locked(lock, wait=False)
    if file is None and not wait:
        raise UserError(f"{path} is being written by another process; nothing was changed")
    if file is None:
        print(f"{path} is being written by another process; waiting for its end", file=sys.stderr, flush=True)
        file = _locked(lock, wait=True)
    assert file is not None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)


def _locked(lock: Path, wait: bool) -> int | None:
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(file)
            return None
        except OSError:
            return file  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                return file
        os.close(file)  # its holder has deleted it
