"""Observes this machine, and examines bridge and homeserver in order."""

from __future__ import annotations

import asyncio
import errno
import shutil
import stat
from pathlib import Path
from urllib.parse import urlsplit

from bridgekit.adapter.base import Adapter
from bridgekit.app import SystemClock, database_url, prefixes
from bridgekit.config import Config, load_document
from bridgekit.core.finding import Examination, failed, skipped
from bridgekit.core.namespace import GhostNamespace
from bridgekit.doctor import local
from bridgekit.errors import ConfigError
from bridgekit.matrix import doctor as homeserver
from bridgekit.matrix import registration as registrations
from bridgekit.matrix.doctor import Listener, Target
from bridgekit.matrix.registration import Registration
from bridgekit.ports import Clock
from bridgekit.runtime.ghosts import DEVICE_ID
from bridgekit.runtime.lease import is_dead, process_name
from bridgekit.settings import load_yaml, read
from bridgekit.store.inspect import Inspected, inspect

LOCAL = ("config", "registration", "secrets", "database", "disk", "file_system", "process", "monitoring", "port")
CHECKS = (*LOCAL, *homeserver.CHECKS)
"""The names of all checks, in their order."""


NO_CONFIG = "Write it with the init command, or name another with --config."


async def check(
    path: Path, adapter: type[Adapter], exam: Examination, *, read_only: bool = False, clock: Clock | None = None
) -> None:
    """Examine the bridge that a configuration file describes, running or not. Raises nothing that a person can mend.

    `read_only`: make nothing on the homeserver; what cannot be seen otherwise is skipped.
    """
    clock = clock or SystemClock()
    config = _config(path, adapter, exam)
    if config is None:
        exam.skip(*CHECKS, because="config")
        return
    directory = _directory(path)
    registration_path = directory / config.appservice.registration
    registration = _registration(registration_path, exam)
    exam.add(local.judge_secrets(_secret_files(path, config, registration_path)))
    process = await _database(config, directory, exam, clock)
    await _monitoring(config, process, exam)
    if registration is None:
        exam.skip("port", because="registration")
        await homeserver.examine_server(config.homeserver.url, exam, clock)
        return
    ghost_prefix, alias_prefix = prefixes(config, adapter)
    server_name = config.homeserver.server_name
    try:
        ghosts = GhostNamespace(ghost_prefix, server_name, frozenset({registration.sender_localpart}))
    except ValueError as error:
        exam.add(failed("ghosts", str(error), "Correct it.", where=f"{path}: appservice.ghost_prefix"))
        exam.skip(*CHECKS, because="ghosts")
        return
    target = Target(
        url=config.homeserver.url,
        server_name=server_name,
        registration=registration,
        file=str(registration_path),
        ghosts=ghosts,
        alias_prefix=alias_prefix,
        device_id=DEVICE_ID,
        read_only=read_only,
    )
    listener = await _listen(config, registration, process, exam)
    try:
        await homeserver.examine(target, exam, listener, clock)
    finally:
        if listener is not None:
            await listener.stop()


def _directory(path: Path) -> Path:
    """What paths inside the file are relative to."""
    return path.resolve().parent


# --- files ------------------------------------------------------------------------------------------------------------
def _config(path: Path, adapter: type[Adapter], exam: Examination) -> Config | None:
    """The configuration; with a mistake in the network's part alone the rest of it is good to go on with."""
    error: ConfigError | None = None
    config: Config | None = None
    try:
        document = load_yaml(path, missing=NO_CONFIG)
        try:
            config, _ = load_document(document, adapter)
        except ConfigError as caught:
            error, config = caught, read(document, Config).value
    except ConfigError as caught:
        error = caught
    for finding in local.judge_config(error, str(path)):
        exam.add(finding)
    return config


def _registration(path: Path, exam: Examination) -> Registration | None:
    error: ConfigError | None = None
    registration: Registration | None = None
    try:
        registration = registrations.load(path)
    except ConfigError as caught:
        error = caught
    for finding in local.judge_registration(error, str(path)):
        exam.add(finding)
    return registration


def _secret_files(path: Path, config: Config, registration: Path) -> list[tuple[str, int]]:
    files = [registration]
    try:
        if urlsplit(config.database).password:
            files.append(path)
    except ValueError:
        pass  # no URL at all, which `database` tells
    found = []
    for file in files:
        try:
            found.append((str(file), stat.S_IMODE(file.stat().st_mode)))
        except OSError:
            pass  # told already
    return found


# --- the database and its disk ----------------------------------------------------------------------------------------
async def _database(config: Config, directory: Path, exam: Examination, clock: Clock) -> local.Process:
    try:
        found = await inspect(database_url(config, directory))
    except ConfigError as error:
        exam.add(failed("database", error.what, error.fix, where=error.where))
        exam.skip("disk", "file_system", "process", because="database")
        return local.Process("unknown")
    exam.add(local.judge_database(found, where="database"))
    _disk(found, exam)
    if not exam.stands("process", on=["database"]):
        return local.Process("unknown")
    process = local.holder(
        found.owner,
        found.expires_at,
        now=clock.now(),
        this_machine=process_name().partition("/")[0],
        is_dead=found.owner is not None and is_dead(found.owner),
    )
    exam.add(local.judge_process(process))
    return process


def _disk(found: Inspected, exam: Examination) -> None:
    if found.kind != "sqlite":
        for name in ("disk", "file_system"):
            exam.add(skipped(name, "PostgreSQL looks after its own disk"))
        return
    if found.problem == "directory":
        exam.skip("disk", "file_system", because="database")
        return
    directory = str(Path(found.place).parent.resolve())
    exam.add(local.judge_disk(shutil.disk_usage(directory).free, directory))
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        mounts = ""  # not Linux
    exam.add(local.judge_file_system(local.file_system_of(directory, mounts), directory))


# --- ports ------------------------------------------------------------------------------------------------------------
async def _monitoring(config: Config, process: local.Process, exam: Examination) -> None:
    monitoring = config.monitoring
    error: OSError | None = None
    if monitoring.enabled and process.running == "no":
        try:
            server = await asyncio.start_server(lambda reader, writer: writer.close(), monitoring.host, monitoring.port)
        except OSError as caught:
            error = caught
        else:
            server.close()
            await server.wait_closed()
    address = f"{monitoring.host}:{monitoring.port}"
    exam.add(local.judge_monitoring(error, process, address, enabled=monitoring.enabled))


async def _listen(
    config: Config, registration: Registration, process: local.Process, exam: Examination
) -> Listener | None:
    """Whom the homeserver is to ping: the running bridge, or ourselves in its place. None if the port is not ours."""
    host, port = config.appservice.host, config.appservice.port
    address = f"http://{host}:{port}"
    seen: local.Seen | OSError = "free"
    listener = Listener(address, f"the bridge ({process.name})" if process.name else f"{host}:{port}")
    if process.running in ("no", "unknown"):
        try:
            await listener.start(registration.hs_token, host, port)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            seen = await homeserver.who_answers(host, port, registration.hs_token) if in_use else error
            seen = "other" if seen == "nobody" else seen  # it may have the port without answering
    elif process.running == "here":
        seen = await homeserver.who_answers(host, port, registration.hs_token)
    exam.add(local.judge_port(seen, process, f"{host}:{port}"))
    return None if exam.obstacle(["port"]) else listener
