"""Chats and who is in them: what they are called, who comes and goes, whom one can write to."""

from __future__ import annotations

from collections.abc import Callable

from bridgekit.adapter.capabilities import CanDescribe, CanInvite, CanLeave, CanRemove, CanRename, CanResolve
from bridgekit.model.ids import PortalKey, RemoteUserID
from bridgekit.model.matrix import MatrixMember
from bridgekit.model.remote import RemoteChat, RemoteMember, RemoteProfile
from bridgekit.testing.conformance.checks import Fault, check, done, eventually
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic


class People(Topic):
    @check(CanDescribe)
    async def test_a_chat_and_its_people_are_described(self, scene: Scene) -> None:
        chat, login = await scene.remote.chat(), await scene.login()
        async with scene.line() as line:
            able = line.can(CanDescribe)
            described: object = await done("describe_chat()", able.describe_chat(chat), scene.patience_s)
            if not isinstance(described, RemoteChat) or described.portal != chat:
                raise Fault(f"describe_chat({chat!r}) returned {described!r}")
            if described.members is not None:
                lacking = {scene.remote.friend, login.user} - set(described.members)
                if lacking:
                    raise Fault(
                        f"describe_chat() returned the members {list(described.members)}, without {sorted(lacking)};"
                        " list everybody, the account too, or leave `members` None"
                    )
            profile: object = await done("describe_user()", able.describe_user(scene.remote.friend), scene.patience_s)
            if not isinstance(profile, RemoteProfile) or profile.user != scene.remote.friend:
                raise Fault(f"describe_user({scene.remote.friend!r}) returned {profile!r}")

    @check(CanResolve)
    async def test_people_are_found(self, scene: Scene) -> None:
        friend = scene.remote.friend
        async with scene.line() as line:
            able = line.can(CanResolve)
            typed = await scene.remote.handle(friend)
            found = await done("resolve()", able.resolve(typed), scene.patience_s)
            if found is None or found.user != friend:
                raise Fault(f"resolve({typed!r}) returned {found!r}; that is {friend!r}")
            nobody = "nobody-is-called-this"
            found = await done("resolve()", able.resolve(nobody), scene.patience_s)
            if found is not None:
                raise Fault(f"resolve({nobody!r}) returned {found!r}; return None where nobody is meant")
            first = await done("open_chat()", able.open_chat(friend), scene.patience_s)
            second = await done("open_chat() of the same person", able.open_chat(friend), scene.patience_s)
            if first.portal != second.portal:
                raise Fault(
                    f"open_chat() of the same person gave {first.portal!r}, and then {second.portal!r}: it is called"
                    " again after a crash, and must give the same chat"
                )

    # --- who is there -----------------------------------------------------------------------------------------------
    @check("add", "remove", "stranger")
    async def test_who_comes_and_goes_comes(self, scene: Scene) -> None:
        chat, user = await scene.remote.group(), somebody(scene)
        async with scene.line() as line:
            for joined in (True, False):
                await (scene.remote.add if joined else scene.remote.remove)(chat, user)
                what = "brought somebody in" if joined else "removed somebody"
                await line.until(
                    says(chat, user, joined),
                    f"the friend {what}, and `events` yielded no RemoteMember that says so, and no RemoteChat with"
                    " members",
                )

    @check(CanInvite, "members", "stranger")
    async def test_somebody_is_brought_in(self, scene: Scene) -> None:
        chat, user = await scene.remote.group(), somebody(scene)
        async with scene.line() as line:
            for what in ("invite()", "invite() of who is there already, as after a crash,"):
                member = MatrixMember(portal=chat, user=user)
                await done(what, line.can(CanInvite).invite(member), scene.patience_s)
                await are_there(scene, chat, user, True, what)

    @check(CanRemove, "add", "members", "stranger")
    async def test_somebody_is_removed(self, scene: Scene) -> None:
        chat, user = await scene.remote.group(), somebody(scene)
        await scene.remote.add(chat, user)
        async with scene.line() as line:
            for what in ("remove()", "remove() of who is not there, as after a crash,"):
                member = MatrixMember(portal=chat, user=user, reason="because")
                await done(what, line.can(CanRemove).remove(member, ban=False), scene.patience_s)
                await are_there(scene, chat, user, False, what)

    @check(CanLeave, "members")
    async def test_the_account_leaves(self, scene: Scene) -> None:
        chat, me = await scene.remote.group(), (await scene.login()).user
        async with scene.line() as line:
            for what in ("leave()", "leave() of what was left already, as after a crash,"):
                await done(what, line.can(CanLeave).leave(chat), scene.patience_s)
                await are_there(scene, chat, me, False, what)

    # --- what a chat is called --------------------------------------------------------------------------------------
    @check("rename")
    async def test_a_new_name_comes(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            name = scene.words("name")
            await scene.remote.rename(chat, name)
            await line.first(
                RemoteChat,
                "the friend gave a chat another name, and `events` yielded no RemoteChat with it",
                lambda seen: seen.portal == chat and seen.name == name,
            )

    @check(CanRename, "name")
    async def test_a_chat_is_renamed(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            name = scene.words("name")
            for what in ("rename()", "rename() to the name that it has, as after a crash,"):
                await done(what, line.can(CanRename).rename(chat, name=name, topic=None), scene.patience_s)

                async def called() -> bool:
                    return await scene.remote.name(chat) == name

                await eventually(scene.patience_s, called, f"{what} returned, and the chat is not called {name!r}")


def somebody(scene: Scene) -> RemoteUserID:
    """The stranger."""
    assert scene.remote.stranger is not None
    return scene.remote.stranger


def says(chat: PortalKey, user: RemoteUserID, joined: bool) -> Callable[[object], bool]:
    """Whether an event says that somebody has come or gone."""

    def does(event: object) -> bool:
        match event:
            case RemoteMember():
                return (event.portal, event.user, event.joined) == (chat, user, joined)
            case RemoteChat(members=tuple(members)):
                return event.portal == chat and (user in members) is joined
        return False

    return does


async def are_there(scene: Scene, chat: PortalKey, user: RemoteUserID, there: bool, what: str) -> None:
    """Wait until somebody is in the chat, or is not."""

    async def look() -> bool:
        return (user in await scene.remote.members(chat)) is there

    await eventually(
        scene.patience_s, look, f"{what} returned, and {user!r} is {'not ' if there else 'still '}in the chat"
    )
