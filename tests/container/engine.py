"""Building and running the image without a Docker engine: buildah, podman and runc with a storage of their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Final

from bridgekit.testing.process import end, spawn, tail

__all__ = ["IMAGE", "ContainerError", "Engine"]

IMAGE: Final = "bridgekit:dev"

# As in the Dockerfile's ARGs. `bookworm`'s own Python is 3.11: a base made with debootstrap has no other.
SLIM: Final = "docker.io/library/python:3.11-slim-bookworm"
FULL: Final = "docker.io/library/python:3.11-bookworm"
_NEEDED: Final = ("buildah", "podman", "runc", "debootstrap")
_CA: Final = Path("/etc/ssl/certs/ca-certificates.crt")


class ContainerError(Exception):
    """A command of the engine failed; its output is in the message."""


class Engine:
    """buildah and podman, with their files in `directory`, and nothing of the machine's own containers touched."""

    def __init__(self, directory: Path) -> None:
        missing = [name for name in _NEEDED if shutil.which(name) is None]
        if missing:
            raise ContainerError(f"{', '.join(missing)} missing: run scripts/ensure-tools.sh container")
        if os.geteuid() != 0:
            raise ContainerError("this needs root; without it, build with: podman build --format docker -t bridgekit .")
        self.directory: Final = directory.absolute()
        self.log: Final = self.directory / "engine.log"
        # podman takes no path over 50 characters here, for there are sockets below it.
        run = Path("/run") / f"bridgekit-{hashlib.sha256(bytes(self.directory)).hexdigest()[:8]}"
        self.directory.mkdir(parents=True, exist_ok=True)
        storage, containers = self.directory / "storage.conf", self.directory / "containers.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.directory / "storage"}"\nrunroot = "{run}"\n',
            encoding="utf-8",
        )
        # Without systemd, and without networks of their own: the homeserver is on this machine's loopback.
        containers.write_text(
            '[containers]\nnetns = "host"\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\ntmp_dir = "{run}/tmp"\n'
            f'volume_path = "{self.directory / "volumes"}"\n',
            encoding="utf-8",
        )
        self.environment: Final = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
        }

    async def run(self, *command: str | Path, fails: bool = False) -> str:
        """A command's output, stripped. Raises `ContainerError` if it fails, unless `fails` says that it may."""
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=PIPE, stderr=STDOUT, env=self.environment
        )
        output = (await process.communicate())[0].decode(errors="replace").strip()
        if process.returncode and not fails:
            raise ContainerError(f"{' '.join(map(str, command))} failed:\n{output[-4000:]}")
        return output

    async def _logged(self, *command: str | Path) -> None:
        """A command that has much to say."""
        process = await spawn(command, log=self.log, env=self.environment)
        try:
            code = await process.wait()
        except BaseException:
            await end(process, signal.SIGTERM)
            raise
        if code:
            raise ContainerError(f"{' '.join(map(str, command))} failed. The end of {self.log}:\n{tail(self.log)}")

    async def has(self, image: str) -> bool:
        return bool(await self.run("podman", "images", "--quiet", image))

    # --- the images -------------------------------------------------------------------------------------------------
    async def base_images(self) -> str:
        """Have both base images; where they come from, in words."""
        if await self.has(SLIM) and await self.has(FULL):
            return "there already"
        try:
            for image in (SLIM, FULL):
                await self.run("podman", "pull", "--quiet", image)
        except ContainerError:
            await self._bootstrap()
            return "no registry of images can be reached: made with debootstrap"
        return "pulled"

    async def _bootstrap(self) -> None:
        """Debian with its Python, without what the published slim image lacks too: manuals, documentation, locales."""
        with tempfile.TemporaryDirectory(prefix="bridgekit-rootfs-") as made:
            root = Path(made)
            packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
            await self._logged("debootstrap", "--variant=minbase", packages, "bookworm", root)
            for unneeded in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
                shutil.rmtree(root / unneeded, ignore_errors=True)
            for cache in [*(root / "var/cache/apt").rglob("*"), *(root / "var/lib/apt/lists").rglob("*")]:
                if cache.is_file():
                    cache.unlink()
            await self._commit(root, SLIM)
            # What the build needs of the full image.
            await self._logged("chroot", root, "apt-get", "-q", "update")
            await self._logged("chroot", root, "apt-get", "-qy", "install", "--no-install-recommends", "binutils")
            await self._commit(root, FULL)

    async def _commit(self, root: Path, image: str) -> None:
        container = await self.run("buildah", "from", "scratch")
        await self.run("buildah", "add", "--quiet", container, root, "/")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        await self.run("buildah", "config", "--env", path, "--cmd", "python3", container)
        await self.run("buildah", "commit", "--quiet", "--rm", container, image)

    async def build(self, context: Path) -> None:
        """The Dockerfile in `context`, as `IMAGE`."""
        options = ["--isolation", "chroot", "--layers", "--pull-never", "--format", "docker", "--tag", IMAGE]
        if _CA.exists():
            # pip inside trusts whom this machine trusts. Mounts leave nothing in the image.
            pip = self.directory / "pip.conf"
            pip.write_text(f"[global]\ncert = {_CA}\n", encoding="utf-8")
            options += ["--volume", f"{_CA}:{_CA}:ro", "--volume", f"{pip}:/etc/pip.conf:ro"]
        await self._logged("buildah", "bud", *options, context)

    async def size(self, image: str) -> int:
        """Bytes, unpacked, with the layers below."""
        return int(await self.run("podman", "image", "inspect", "--format", "{{.Size}}", image))
