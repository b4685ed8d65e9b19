"""Files that a kill at any instant leaves whole: written under another name, on disk, then renamed."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path


_UNFINISHED = ".unfinished"


def write_whole(path: Path, text: str) -> None:
    """Replaces a file by `text`: after a kill it holds the old text or the new one."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    unfinished.write_text(text)
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a folder to fill; it gets the new name `path`, whole and on disk, if the block ends without an error."""
    if path.exists():
        raise ValueError(f"{path} is there already. Remove it, or choose another name.")
    unfinished = path.with_name(path.name + _UNFINISHED)
    remove_folder(unfinished)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        for folder, _, names in os.walk(unfinished):
            for name in names:
                sync(Path(folder) / name)
            sync(Path(folder))
        unfinished.rename(path)
        sync(path.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)  # room for what is kept
        raise explained(error, path) from error


def remove_folder(path: Path) -> None:
    """Removes a folder, if it is there; a kill in the middle leaves nothing under its name."""
    if path.exists():
        doomed = (
            path if path.name.endswith(_UNFINISHED) else path.rename(path.with_name(path.name + ".old" + _UNFINISHED))
        )
        shutil.rmtree(doomed)


def remove_unfinished(folder: Path) -> None:
    """Removes what kills left in a folder."""
    for path in folder.glob("*" + _UNFINISHED):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def sync(path: Path) -> None:
    """Returns when a file or a folder's list of names is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def explained(error: OSError, path: Path) -> OSError:
    """The same error, with a remedy where there is one."""
    remedies = {
        errno.ENOSPC: "The disk is full: make room and `deepcrl resume` the run. Fewer checkpoints take less: "
        "`--keep-last 1`, `--no-save-buffer`, or a larger `--save-every`.",
        errno.EDQUOT: "Your quota of the disk is used up: make room and `deepcrl resume` the run.",
        errno.EROFS: "The file system is read-only: choose another folder.",
        errno.EACCES: "The folder belongs to somebody else: choose another one.",
    }
    remedy = remedies.get(error.errno or 0, "What was saved before is whole.")
    return OSError(error.errno, f"{path} could not be written: {error.strerror or error}. {remedy}")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; the system gives it up when the process ends, however it ends.

    **Raises:** `ValueError` if another process holds it.
    """
    with open(folder / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"The folder {folder} is in use by {file.read().strip() or 'another process'}. Wait for it to end, or "
                "choose another folder."
            ) from None
        except OSError:
            pass  # a file system without locks: the user has to take care
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
