"""What messages to users are made of: the one exception for mistakes that they can mend, what to say of a machine that
has no space or memory left, and counted nouns."""

import errno
import re
from collections.abc import Mapping

UNSUPPORTED = (
    "error: Bruna runs on Linux and macOS. On Windows run it in WSL 2: https://learn.microsoft.com/windows/wsl"
)
_ADVICE: Mapping[int, str] = {
    errno.ENOSPC: "The disk is full: free some space",
    errno.EDQUOT: "The disk quota is used up: free some space",
    errno.EFBIG: "A file may not grow so large here: raise the limit (`ulimit -f unlimited`)",
    errno.EACCES: "Make sure that you may read and write there",
    errno.EPERM: "Make sure that you may read and write there",
    errno.EROFS: "It is mounted read-only: mount it so that it can be written",
    errno.EEXIST: "Something else is in its place: move it out of the way",
    errno.ENOTDIR: "Something else is in its place: move it out of the way",
    errno.EISDIR: "Something else is in its place: move it out of the way",
    errno.EIO: "The disk reports an error: see what the system's log says of it (`dmesg`), and save what is on it",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n 4096`)",
    errno.ENFILE: "Too many files are open: close other programs",
}
_FULL = re.compile(
    r"iostream error|inline_container\S* . unexpected pos|file write failed|\d+ requested and \d+ written"
)
"""What torch and NumPy say when a file could not be written: without a number of the system."""
_OUT_OF_MEMORY = re.compile(r"out of memory|DefaultCPUAllocator|ALLOC_FAILED|Cannot allocate memory", re.IGNORECASE)


class BrunaError(Exception):
    """Something the user gave cannot be used.

    The message says what was found, where, and what to do about it. Stages and the command line print it
    without a traceback and exit with status 1.
    """


def counted(number: int, plural: str) -> str:
    """A number with its noun in the right form.

    Args:
        number: is written with thousands commas.
        plural: the noun, e.g. `images`; words before it stay as they are.

    >>> counted(1, "training identities"), counted(1200, "images"), counted(0, "mask pairs")
    ('1 training identity', '1,200 images', '0 mask pairs')
    """
    singular = f"{plural.removesuffix('ies')}y" if plural.endswith("ies") else plural.removesuffix("s")
    return f"{number:,} {singular if number == 1 else plural}"


def machine_trouble(error: Exception, batch: str = "") -> str | None:
    """What to say of an error that the machine is to blame for: no space, no memory, a file that is not the user's.

    Args:
        error: of any library; each has its own type for a full disk.
        batch: the setting that takes less memory when it is lowered; empty where there is none.

    Returns:
        The message; None if the error is of another kind.
    """
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _OUT_OF_MEMORY.search(str(error)):
        where = "The GPU" if re.search("CUDA|cuDNN|cuBLAS|HIP", str(error), re.IGNORECASE) else "The machine"
        lower = f", or lower {batch}" if batch else ""
        return f"{where} has too little memory ({str(error) or 'out of memory'}).\nClose other programs{lower}."
    if "No usable temporary directory" in str(error):
        return f"{error}\nMake one of them, with space in it, or name another in the variable TMPDIR."
    if number is None and (said := re.search(r"(?:os error|errno) (\d+)", str(error), re.IGNORECASE)):
        number = int(said[1])
    if number is None and _FULL.search(str(error)):
        number = errno.ENOSPC
    advice = _ADVICE.get(number) if isinstance(number, int) else None
    return f"{error}\n{advice}, then run the same command again." if advice else None
