"""Foreign programs that tests and the demo start: they end with us, and they get ports nobody else is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["end", "free_ports", "spawn", "tail"]

_LAUNCHER: Final = """\
import ctypes, os, pwd, signal, sys
parent, death_signal, user, *argv = sys.argv[1:]
if user:
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(death_signal))
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
os.execvp(argv[0], argv)
"""
"""Runs in the child before the program: changes the user, then asks the kernel for a signal when the parent dies.

In that order, since a change of user clears the request. A launcher and not `preexec_fn`, which may deadlock where the
parent has threads. `1` is PR_SET_PDEATHSIG.
"""


async def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> asyncio.subprocess.Process:
    """Start a program whose output is appended to `log`, in a session of its own (a Ctrl-C at the terminal is ours).

    On Linux `death_signal` reaches it when the THREAD that called this ends: call it from the main thread.
    `user`: run it as that user (only root can). The process keeps its pid: no shell or wrapper stays in between.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(death_signal)), user or ""]
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *launcher,
            *map(str, argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )


async def end(process: asyncio.subprocess.Process, how: signal.Signals, *, patience_s: float = 30.0) -> int:
    """Send a signal, wait until the process is gone and reaped, return its code; SIGKILL after `patience_s` seconds."""
    with contextlib.suppress(ProcessLookupError):  # it had ended by itself
        process.send_signal(how)
    try:
        async with asyncio.timeout(patience_s):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log, for an error message; words if there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 200 * lines))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return f"(no {path.name})"
    return "\n".join(text.splitlines()[-lines:]) or f"({path.name} is empty)"


def free_ports(count: int) -> list[int]:
    """Different loopback TCP ports on which nothing listens now.

    They are taken from below the range from which the kernel serves outgoing connections: a server that starts late,
    or again, does not find its port used by somebody's client. Nothing is held, so a stranger may still take one
    first; the choice is random, which makes two test runs at once very unlikely to meet.
    """
    first_ephemeral = 32768
    with contextlib.suppress(OSError):  # not Linux
        first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(10_000, first_ephemeral) if first_ephemeral > 12_000 else range(10_000, 65_536)
    ports: list[int] = []
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if len(ports) == count:
            return ports
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    raise OSError(f"no {count} free ports on loopback")
