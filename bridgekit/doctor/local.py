"""Judges what is on this machine: files, database, disk, process and port. No I/O."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from bridgekit.core.finding import Finding, failed, ok, skipped, warning
from bridgekit.errors import ConfigError
from bridgekit.store.inspect import Inspected

GIB = 2**30
DISK_WARNING, DISK_FAILED = GIB, 100 * 2**20
"""Bytes that have to be free."""

MIN_POSTGRES = 13
"""The oldest PostgreSQL that is let pass; those before it have had no security updates for a year or more."""

MAX_ERRORS = 5
"""How many mistakes of one file are told at once."""


# --- files ------------------------------------------------------------------------------------------------------------
def judge_config(error: ConfigError | None, path: str) -> list[Finding]:
    """A finding for each mistake in the configuration."""
    name = "config"
    if error is None:
        return [ok(name, f"{path} is complete, and every key is known")]
    return [failed(name, one.what, one.fix, where=one.where) for one in (error, *error.more)[:MAX_ERRORS]]


def judge_registration(error: ConfigError | None, path: str) -> list[Finding]:
    """A finding for each mistake that keeps the registration from being read."""
    name = "registration"
    if error is None:
        return [ok(name, f"{path} is a registration")]
    return [failed(name, one.what, one.fix, where=one.where) for one in (error, *error.more)[:MAX_ERRORS]]


def judge_secrets(modes: Sequence[tuple[str, int]]) -> Finding:
    """`modes`: files that hold secrets, with their permission bits."""
    name = "secrets"
    for path, mode in modes:
        if mode & 0o007:
            return warning(
                name, "everybody on this machine may read the secrets in it", f"chmod 600 {path}", where=path
            )
    return ok(name, "only those who should may read the files with tokens")


# --- the database -----------------------------------------------------------------------------------------------------
def judge_database(db: Inspected, *, where: str) -> Finding:
    """Whether the bridge could work there."""
    name = "database"
    if db.problem is not None:
        what, fix = _database_problem(db)
        return failed(name, what, fix, where=where)
    if db.kind == "postgres":
        major = db.server_version // 10_000
        if major < MIN_POSTGRES:
            return failed(
                name,
                f"PostgreSQL {major} at {db.place} is too old",
                f"Update it to {MIN_POSTGRES} or newer.",
                where=where,
            )
        if db.encoding != "UTF8":
            return failed(
                name,
                f"the database {db.place} is in {db.encoding}, which cannot hold every character",
                "Make one with CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', and name that.",
                where=where,
            )
        if db.read_only:
            return failed(
                name,
                f"{db.place} only lets itself be read: it is a standby",
                "Name the primary server instead.",
                where=where,
            )
    if db.schema is not None and db.schema > db.known:
        return failed(
            name,
            f"{db.place} was used by a newer bridgekit (schema {db.schema}; this program knows {db.known})",
            "Start the newer program again, or restore a backup from before the update.",
            where=where,
        )
    kind = "SQLite" if db.kind == "sqlite" else f"PostgreSQL {db.server_version // 10_000}"
    if db.schema is None:
        return ok(name, f"{kind}: {db.place} is empty, and the first start fills it")
    if db.schema < db.known:
        return ok(name, f"{kind}: {db.place} has schema {db.schema}; the next start brings it to {db.known}")
    return ok(name, f"{kind}: {db.place} is there and can be written")


def _database_problem(db: Inspected) -> tuple[str, str]:
    match db.problem:
        case "directory":
            return f"there is no directory {db.detail}", f"mkdir -p {db.detail}"
        case "rights":
            return f"the bridge may not write {db.place}: {db.detail}", "Give the bridge's user the right to."
        case "damaged":
            return f"{db.place} is damaged, or is no database: {db.detail}", "Restore it from a backup."
        case "foreign":
            return (
                f"{db.place} is another program's database: it has {db.detail}",
                "Give the bridge a database of its own.",
            )
        case "locked":
            return f"another process keeps {db.place} locked", "End that process."
        case "unreachable":
            return f"no PostgreSQL answers at {db.place}: {db.detail}", "Start it, or correct the address."
        case "refused":
            return f"PostgreSQL does not let the bridge in at {db.place}: {db.detail}", "Correct user and password."
        case "missing":
            return (
                f"PostgreSQL has no such database: {db.detail}",
                "CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', or correct the name.",
            )
        case "address":
            return (
                "it is not the URL of a database",
                "Write postgresql://user:password@host/database, with %2F for / (and so on) in the password.",
            )
        case _:
            return f"{db.place}: {db.detail}", "Look in the database's log at this time."


# --- the disk ---------------------------------------------------------------------------------------------------------
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone", "lustre")
_MEMORY = ("tmpfs", "ramfs")


def judge_disk(free: int, directory: str) -> Finding:
    """`free`: bytes that the bridge's user may still write there."""
    name = "disk"
    room = f"{free / GIB:.1f} GiB" if free >= GIB else f"{free // 2**20} MiB"
    if free < DISK_FAILED:
        return failed(name, f"only {room} are free: no message can be taken soon", "Make room there.", where=directory)
    if free < DISK_WARNING:
        return warning(name, f"only {room} are free", "Make room there.", where=directory)
    return ok(name, f"{room} are free in {directory}")


def judge_file_system(kind: str | None, directory: str) -> Finding:
    """`kind`: like ``ext4``; None where the system does not say."""
    name = "file_system"
    if kind is None:
        return skipped(name, f"the system does not say what {directory} is on")
    if kind.startswith(_NETWORK):
        return failed(
            name,
            f"SQLite's locks and its log do not work on {kind}, a network file system",
            "Put the database on a local disk, or use PostgreSQL.",
            where=directory,
        )
    if kind in _MEMORY:
        return warning(
            name,
            f"{directory} is in memory ({kind}): everything is lost when the machine restarts",
            "Put the database on a disk.",
            where=directory,
        )
    if kind == "overlay":
        return warning(
            name,
            f"{directory} is in a container's own layer: everything is lost when the container is made anew",
            "Put the database on a volume.",
            where=directory,
        )
    return ok(name, f"{directory} is on {kind}")


def file_system_of(directory: str, mountinfo: str) -> str | None:
    """The type of the file system that holds an absolute path, by ``/proc/self/mountinfo``; None if it is not there."""
    best, kind = "", None
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split()
        if not separator or len(fields) < 5 or not right:
            continue
        # proc(5): space, tab, newline and backslash are written in octal.
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        inside = directory == point or directory.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


# --- process and port -------------------------------------------------------------------------------------------------
Running = Literal["no", "here", "elsewhere", "unknown"]
"""Unknown: the database that would say so cannot be read."""


class Process(msgspec.Struct, frozen=True):
    """Who works on the database. `name`: for people."""

    running: Running
    name: str = ""


def holder(owner: str | None, expires_at: int, *, now: int, this_machine: str, is_dead: bool) -> Process:
    """What the lease says. `owner` is like ``host:boot:namespace/pid/start/random``, `this_machine` the part before the
    first slash of our own; `is_dead`: it ran here, and is no more."""
    if owner is None or expires_at <= now or is_dead:
        return Process("no")
    machine, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if machine == this_machine:
        return Process("here", f"process {pid}")
    return Process("elsewhere", f"process {pid} on {machine.partition(':')[0]}")


def judge_process(process: Process) -> Finding:
    """Whether the bridge runs: no mistake either way, but good to know."""
    if process.running == "no":
        return ok("process", "no bridge works on this database now")
    return ok("process", f"the bridge is running: {process.name}")


Seen = Literal["free", "bridge", "other", "nobody"]
"""At the bridge's address: we could listen there; something that knows the hs_token answers; something else does;
nothing does."""


def judge_port(seen: Seen | OSError, process: Process, address: str) -> Finding:
    """Whether the homeserver will find the bridge, and nobody else, at `address`."""
    name, where = "port", "appservice.port"
    if isinstance(seen, OSError):
        fix = {
            errno.EADDRNOTAVAIL: "Write host: 127.0.0.1, host: 0.0.0.0, or another address that this machine has.",
            errno.EACCES: "Choose a port above 1023.",
        }.get(seen.errno or 0, "Correct host and port.")
        return failed(name, f"the bridge cannot listen on {address}: {_words(seen)}", fix, where=where)
    if process.running == "elsewhere":
        return skipped(name, f"the bridge runs on another machine ({process.name})")
    if process.running == "here":
        if seen == "bridge":
            return ok(name, f"the running bridge listens on {address}")
        return failed(
            name,
            f"the bridge is running ({process.name}), but does not listen on {address}",
            "Restart it, so that it reads this configuration and registration.",
            where=where,
        )
    if seen == "bridge" and process.running == "unknown":
        return ok(name, f"a bridge with this registration listens on {address}")
    if seen == "bridge":
        return failed(
            name,
            f"a bridge with this registration listens on {address} already, and works on another database",
            "Stop it, or give this one its database.",
            where=where,
        )
    if seen == "other":
        return failed(
            name,
            f"another program listens on {address}",
            "Stop it, or choose another port, here and in the registration's url.",
            where=where,
        )
    return ok(name, f"{address} is free; this check listens there meanwhile")


def _words(error: OSError) -> str:
    """The system's own: asyncio's repeat the address. A name that is not found has a number below 0, and good words."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def judge_monitoring(error: OSError | None, process: Process, address: str, *, enabled: bool) -> Finding:
    """Whether health and metrics can be served. `error`: what kept us from listening there."""
    name = "monitoring"
    if not enabled:
        return skipped(name, "it is switched off")
    if process.running == "unknown":
        return skipped(name, "not before database is mended", because="database")
    if process.running != "no":
        return skipped(name, "the running bridge has the port")
    if error is None:
        return ok(name, f"{address} is free")
    return failed(
        name,
        f"health and metrics cannot be served on {address}: {_words(error)}",
        "Choose a free port, or say enabled: false.",
        where="monitoring.port",
    )
