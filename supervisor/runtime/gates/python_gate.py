"""The gate of a Python that is started before its script is known. It is installed as `sitecustomize`, in a folder that
only PYTHONPATH names: the last thing but one that runs before the script.

It says that it waits, takes the job's main file, arguments and environment through descriptor 63, and returns. Where
the interpreter holds the name of the script that it was started for, a long one that means nothing, there is then the
job's; and the interpreter opens, compiles and runs that by itself, as `python3 FILE ARGS` would.

Invariant: when the script runs, no frame, module, variable or path of the gate is left. What is not found as expected
ends the process before the job is taken.
Never: imports what Python has not imported by itself; stays below the script.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DESCRIPTOR = 63
LONGEST_BYTES = 65536


def _pass() -> bool:
    name = sys.argv[0]
    leave_no_path(os.path.dirname(__file__))
    was_there = import_real_one()
    try:
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        refuse("/proc/self/mem cannot be written: " + str(error.strerror))
    places = find(memory, wide(name) + bytes(4))
    if not places:
        refuse("the name of its script is not found in its memory")
    words_at = place_of_words()
    os.write(DESCRIPTOR, b"R")
    fields = read_all().split(b"\0")
    count = int(fields[0])
    words, environment = fields[1 : 1 + count], fields[1 + count :]
    main = os.fsdecode(words[0])
    if len(main) > len(name):
        refuse("the name of the script is too long")
    for place in places:
        os.pwrite(memory, wide(main) + bytes(4), place)
    show(memory, words_at, words)
    os.close(memory)
    sys.argv[:] = [os.fsdecode(word) for word in words]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[1:] = sys.argv
    take_environment([(name, value) for name, _, value in (line.partition(b"=") for line in environment)])
    os.write(DESCRIPTOR, b"G")
    os.close(DESCRIPTOR)
    return was_there


def refuse(why: str) -> "NoReturn":
    """Nobody has a job here yet."""
    os.write(2, os.fsencode(why))
    os._exit(1)


def leave_no_path(folder: str) -> None:
    sys.path.remove(folder)
    sys.path_importer_cache.pop(folder, None)


def import_real_one() -> bool:
    """Whether this installation has a sitecustomize of its own, which has then been run."""
    del sys.modules["sitecustomize"]
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        return False
    return True


def wide(text: str) -> bytes:
    """As C's wchar_t."""
    return b"".join(ord(letter).to_bytes(4, sys.byteorder) for letter in text)


def find(memory: int, pattern: bytes) -> "list[int]":
    """Where `pattern` lies in what this process has written itself."""
    places = []
    for line in slurp("/proc/self/maps").splitlines():
        fields = line.split()
        if not fields[1].startswith(b"rw") or (len(fields) > 5 and fields[5] != b"[heap]"):
            continue
        start, end = (int(number, 16) for number in fields[0].split(b"-"))
        try:
            content = os.pread(memory, end - start, start)
        except OSError:
            continue
        at = content.find(pattern)
        while at >= 0:
            places.append(start + at)
            at = content.find(pattern, at + 4)
    return places


def place_of_words() -> "tuple[int, int]":
    """Where the kernel finds what ps shows."""
    fields = slurp("/proc/self/stat").rpartition(b") ")[2].split()
    return int(fields[45]), int(fields[46])


def show(memory: int, words_at: "tuple[int, int]", words: "list[bytes]") -> None:
    start, end = words_at
    if end > start:
        itself = os.pread(memory, end - start, start).partition(b"\0")[0]
        os.pwrite(memory, b"\0".join([itself, *words])[: end - start - 1].ljust(end - start, b"\0"), start)


def slurp(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    content = b""
    while True:
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            os.close(descriptor)
            return content
        content += piece


def read_all() -> bytes:
    content = b""
    while True:
        piece = os.read(DESCRIPTOR, LONGEST_BYTES)
        if not piece:
            os._exit(0)  # nobody needs it any more
        content += piece
        head, separator, body = content.partition(b"\n")
        if separator and len(body) >= int(head):
            return body


def take_environment(wanted: "list[tuple[bytes, bytes]]") -> None:
    """The order of variables is kept as well: where it differs, what comes behind is set anew."""
    names = list(os.environb)
    coerced = os.environb.get(b"LC_CTYPE")
    if coerced is not None and b"LC_CTYPE" not in dict(wanted):
        wanted.append((b"LC_CTYPE", coerced))  # not of the job: Python's own, for want of a locale
    same = 0
    while same < min(len(names), len(wanted)) and names[same] == wanted[same][0]:
        same += 1
    for name in names[same:]:
        del os.environb[name]
    for index, (name, value) in enumerate(wanted):
        if index >= same or os.environb[name] != value:
            os.environb[name] = value
    raw = sys.modules["posix"].environ
    raw.clear()
    raw.update(wanted)


if not _pass():
    # As if there had been none: what reads it is the import of this very name in site.
    raise ImportError("No module named 'sitecustomize'", name="sitecustomize")
