"""An unrelated client that uploads: ``python -m benchmarks._media_upload URL TOKEN``.

Each line of standard input is a size in bytes; the file's ``mxc://`` is printed when the homeserver has all of it.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from benchmarks._media_net import connection, zeros


async def main() -> None:
    url, token = sys.argv[1:]
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with connection() as http:
        while line := await lines.readline():
            size = int(line)
            headers = {"Authorization": f"Bearer {token}", "Content-Length": str(size)}
            async with http.post(f"{url}/_matrix/media/v3/upload", data=zeros(size), headers=headers) as response:
                response.raise_for_status()
                print((await response.json())["content_uri"], flush=True)


if __name__ == "__main__":
    uvloop.run(main())
