"""What there is to see in the demo: an agent on Matrix, a visitor at the webchat, and their first words."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from example_bridge.demo.page import DemoPage, MatrixSide, Session, WebchatSide
from example_bridge.demo.parts import Parts
from example_bridge.demo.people import PATIENCE_S, Listener, log_in
from example_bridge.demo.telling import Teller, shown
from example_bridge.webchat.client import WebchatClient

__all__ = ["Kept", "begin", "forget_unfinished", "kept_in", "links", "page_of"]

QUESTION: Final = "Hello, is anybody there?"
ANSWER: Final = "Good day! I write from Matrix."


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a later start must know. Written once, when the first start has come to its end."""

    user_id: str
    password: str
    room: str
    chat: str
    agent: str
    visitor_token: str
    webchat_port: int
    page_port: int
    page_key: str
    page_token: str
    """The access token of the page's Matrix view, which is a device of its own."""


def kept_in(directory: Path) -> Kept | None:
    """What an earlier start has left; None if there was none, or none that came to its end, or of an older version."""
    try:
        return msgspec.json.decode(_file(directory).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_unfinished(directory: Path) -> bool:
    """Delete what a first start that did not come to its end has left; whether there was anything."""
    parts = [directory / name for name in ("synapse", "webchat", "bridge") if (directory / name).exists()]
    for part in parts:
        shutil.rmtree(part)
    return bool(parts)


async def begin(parts: Parts, teller: Teller) -> Kept:
    """Make the people and let them begin to talk; remember them."""
    teller.step("making Alice's account on the homeserver")
    user = await parts.synapse.register_user("alice", secrets.token_urlsafe(9))
    async with WebchatClient(parts.webchat.url) as nobody:
        agent = await nobody.create_account("Alice", "agent", id="alice")
        visitor = await nobody.create_account("Vera", "visitor", id="vera")
    async with user.client() as alice, WebchatClient(parts.webchat.url, visitor.token) as vera, Listener(vera) as ear:
        await alice.set_displayname("Alice")
        teller.step("logging Alice in to the webchat: she talks with the bridge's bot")
        await log_in(alice, parts.bot, agent.token)
        teller.step("letting Vera, a visitor of the webchat, say hello")
        chat = (await vera.create_chat("direct", [agent.id])).id
        await vera.send(chat, QUESTION)
        room = await alice.wait_for_invite(timeout_s=PATIENCE_S)
        await alice.join(room)
        await alice.wait_for_text(room, QUESTION, PATIENCE_S)
        teller.step("letting Alice answer on Matrix")
        await alice.send_text(room, ANSWER)
        await ear.wait_for(chat, agent.id, [ANSWER])
    on_page = await parts.synapse.login("alice", user.password)
    kept = Kept(
        user_id=user.user_id,
        password=user.password,
        room=room,
        chat=chat,
        agent=agent.id,
        visitor_token=visitor.token,
        webchat_port=parts.webchat_port,
        page_port=parts.page_port,
        page_key=secrets.token_urlsafe(9),
        page_token=on_page.access_token,
    )
    # Whole or not at all, and for nobody else's eyes.
    new = _file(parts.directory).with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(kept)))
    new.replace(_file(parts.directory))
    return kept


def page_of(parts: Parts, kept: Kept) -> DemoPage:
    """The page that shows both sides; enter it."""
    matrix = MatrixSide(parts.synapse.url, kept.user_id, kept.password, kept.page_token, kept.room, "Alice")
    return DemoPage(parts.page_port, kept.page_key, Session(WebchatSide(_visitor_link(parts, kept), "Vera"), matrix))


def links(parts: Parts, kept: Kept, page: DemoPage) -> str:
    """Where to look, and as whom."""
    return f"""
The demo is running. Open this in a browser; write on one side, and read on the other:

    {page.url}

  The webchat alone, as the visitor Vera
    {_visitor_link(parts, kept)}

  Matrix, as the agent Alice, in any Matrix client
    homeserver  {parts.synapse.url}
    user        {kept.user_id}
    password    {kept.password}

  Its files and logs are in {shown(parts.directory)}.
Ctrl-C stops everything. The next start goes on from there.
"""


def _visitor_link(parts: Parts, kept: Kept) -> str:
    return f"{parts.webchat.url}/#{urlencode({'token': kept.visitor_token, 'chat': kept.chat})}"


def _file(directory: Path) -> Path:
    return directory / "demo.json"
