"""linechat, a little chat over TCP, and Bob at its keyboard:  python linechat.py 7000

A connection carries one request, a line of JSON with `name`, `password` and what to `do`; the answer is a line of JSON.
  {"do": "listen", "after": 17}    every message with a higher number: those that there are, then those to come
  {"do": "say", "room": "tea", "text": "hello", "nonce": "a1"}     {"seq": 18, "time": 1700000000000}
  {"do": "who", "who": "bob"}                                      {"name": "bob", "full_name": "Bob Baker"}
  {"do": "room", "room": "tea"}                                    {"room": "tea", "title": "...", "members": [...]}
A message is {"seq", "time", "room", "from", "text", "nonce"}. Refused: {"error": "busy", "wait": 1}, in s.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

PEOPLE = {  # their full names and passwords
    "alice": ("Alice Archer", "apple"),
    "bob": ("Bob Baker", "banana"),
    "carol": ("Carol Cook", "cherry"),
}
LONGEST = 200  # characters of a message


class Chat:
    """Everything that was said; everybody is in every room. `log` is where it is kept."""

    def __init__(self, log: Path | None = None) -> None:
        self.log = log
        self.messages = [json.loads(line) for line in log.read_text().splitlines()] if log and log.exists() else []
        self.more = asyncio.Event()
        self.busy = False

    async def answers(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """What the server says to a request."""
        if PEOPLE.get(request["name"], ("", None))[1] != request["password"]:
            yield {"error": "wrong name or password"}
        elif request["do"] == "listen":
            place = request["after"]
            while True:
                more = self.more
                for message in self.messages[place:]:
                    yield message
                    place = message["seq"]
                await more.wait()
        elif request["do"] == "say":
            yield self.say(request["name"], request["room"], request["text"], request.get("nonce"))
        elif request["do"] == "who" and request["who"] in PEOPLE:
            yield {"name": request["who"], "full_name": PEOPLE[request["who"]][0]}
        elif request["do"] == "room":
            yield {"room": request["room"], "title": f"The {request['room']} room", "members": sorted(PEOPLE)}
        else:
            yield {"error": "there is no such thing"}

    def say(self, name: str, room: str, text: str, nonce: str | None = None) -> dict[str, Any]:
        """Somebody says something. A nonce that this person has used before says nothing new."""
        if self.busy:
            return {"error": "busy", "wait": 1}
        if len(text) > LONGEST:
            return {"error": "too long"}
        for old in self.messages:
            if nonce and (old["from"], old["nonce"]) == (name, nonce):
                return {"seq": old["seq"], "time": old["time"]}
        place = {"seq": len(self.messages) + 1, "time": int(time.time() * 1000)}
        self.messages.append({**place, "room": room, "from": name, "text": text, "nonce": nonce})
        if self.log:
            with self.log.open("a") as file:
                file.write(json.dumps(self.messages[-1]) + "\n")
        self.more.set()
        self.more = asyncio.Event()
        return place

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            async with aclosing(self.answers(json.loads(await reader.readline()))) as answers:
                async for answer in answers:
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (ConnectionError, json.JSONDecodeError, KeyError, asyncio.CancelledError):
            pass  # the other end is gone, or does not speak linechat; or the server is
        finally:
            writer.close()


async def typed() -> AsyncGenerator[str, None]:
    """The lines of the keyboard, until it says Ctrl-D."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in chain(sys.stdin, [""]):
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line


async def bob(chat: Chat) -> None:
    """What Bob types is said. `/room cake` goes to another room, `/as carol` gives the keyboard to Carol; `/busy` lets
    the server refuse everything that others say, until `/open`."""
    name, room = "bob", "tea"
    async for line in typed():
        match line.split():
            case ["/room", other]:
                room = other
            case ["/as", other]:
                name = other
            case ["/busy"]:
                chat.busy = True
            case ["/open"]:
                chat.busy = False
            case [_, *_]:
                chat.say(name, room, line.strip())


async def bobs_screen(chat: Chat) -> None:
    """What comes over the wire, from now on."""
    request = {"name": "bob", "password": "banana", "do": "listen", "after": len(chat.messages)}
    async for message in chat.answers(request):
        if message["nonce"]:  # what was typed here has none
            print(f"[{message['room']}] {message['from']}: {message['text']}", flush=True)


async def main(port: int) -> None:
    chat = Chat(Path("linechat.jsonl"))
    server = await asyncio.start_server(chat.connected, "127.0.0.1", port, limit=1 << 20)
    print(f"linechat is on port {port}. You are Bob; what you type is said in the room called tea.", flush=True)
    screen = asyncio.create_task(bobs_screen(chat))
    await bob(chat)
    screen.cancel()
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1])))
