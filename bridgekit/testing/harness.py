"""A whole bridge in memory: the real runtime between fakes, which can be killed at any point and started again."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.core.permissions import Permissions
from bridgekit.errors import StoreError, StoreUnavailable
from bridgekit.model.ids import LoginID, RemoteUserID, RoomID, UserID
from bridgekit.model.raw import Transaction
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.ports import Homeserver, Store
from bridgekit.runtime import points
from bridgekit.runtime.bridge import Bridge
from bridgekit.runtime.catching_up import CatchUpRules
from bridgekit.runtime.chats import ChatRules
from bridgekit.runtime.identity import Identity
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.parts import Times
from bridgekit.runtime.relay import RelaySettings
from bridgekit.runtime.status import StatusRules
from bridgekit.testing.clock import ManualClock, idle, until
from bridgekit.testing.homeserver import FakeHomeserver, raw
from bridgekit.testing.journal import MemoryJournal
from bridgekit.testing.network import FakeAdapter, FakeNetwork

IDENTITY = Identity(server_name="test", bot_localpart="bot", ghost_prefix="fake_", alias_prefix="fake_")
ALICE = UserID("@alice:test")
MINE = RemoteUserID("mine")


class Killed(BaseException):
    """The process is dead: raised at the point where it was killed, and by whatever it then still tries."""


class Door:
    """Everything a bridge process does outside goes through here, until it is killed."""

    def __init__(self, rng: random.Random | None) -> None:
        self.dead = False
        self.store_faults = 0.0  # how often a write fails, half of the times after it took effect
        self.refused: set[str] = set()  # methods of the store that fail always
        self._rng = rng

    def guard(self, target: Any, *, store: bool) -> Any:
        return _Guarded(self, target, store)

    async def enter(self, call: str, store: bool) -> bool:
        """Raises, or says whether the call is to fail afterwards."""
        if self.dead:
            raise Killed
        await self._dawdle()
        if store and call in self.refused:
            raise StoreUnavailable(f"{call} is refused")
        rng = self._rng
        if store and rng is not None and call in WRITES and rng.random() < self.store_faults:
            if rng.random() < 0.5:
                raise StoreUnavailable(f"{call} failed")
            return True
        return False

    async def leave(self, call: str, failing: bool) -> None:
        await self._dawdle()
        if self.dead:
            raise Killed
        if failing:
            raise StoreUnavailable(f"{call} failed after it took effect")

    async def _dawdle(self) -> None:
        if self._rng is not None:
            for _ in range(self._rng.randrange(4)):
                await asyncio.sleep(0)
                if self.dead:
                    raise Killed


WRITES = frozenset({"append", "complete", "defer", "mark", "cancel", "repair", "record", "renew_lease", "stage"})


class _Guarded:
    def __init__(self, door: Door, target: Any, store: bool) -> None:
        self._door, self._target, self._store = door, target, store

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            failing = await self._door.enter(name, self._store)
            result = await value(*args, **kwargs)
            await self._door.leave(name, failing)
            return result

        return call


class Harness:
    """A homeserver, a network and a store that last, and one bridge process at a time between them.

    `seed`: calls take a random number of turns of the event loop, the same ones for the same seed; None: none.
    `new_store` makes a store on the same database for each process; left out, it is in memory.
    """

    def __init__(
        self,
        network: FakeNetwork | None = None,
        *,
        seed: int | None = None,
        times: Times | None = None,
        chats: ChatRules | None = None,
        catch_up: CatchUpRules | None = None,
        direct_events: int | None = None,
        new_store: Callable[[], Store] | None = None,
        adapter: Callable[[FakeNetwork], Adapter] = FakeAdapter,
        permissions: Mapping[str, str] | None = None,
        relay: RelaySettings | None = None,
        status: StatusRules | None = None,
        media: MediaRules | None = None,
        clock: ManualClock | None = None,
        connection_errors: tuple[type[BaseException], ...] = (OSError, EOFError),
    ) -> None:
        self.rng = random.Random(seed) if seed is not None else None
        rng = self.rng
        yields: Callable[[], int] = (lambda: 0) if rng is None else lambda: rng.randrange(4)
        self.clock = clock or ManualClock()
        self.network = network or FakeNetwork()
        self.network.yields = yields
        self.homeserver = FakeHomeserver(IDENTITY.bot, yields=yields, clock=self.clock)
        self.homeserver.users.add(IDENTITY.bot)
        memory = MemoryJournal()
        self._new_store = new_store or (lambda: cast(Store, MemoryJournal(sharing=memory)))
        self._times = times or Times()
        self.direct_events = direct_events
        """Transactions of more events are staged by the next process; None: of more than the usual number."""
        self._rules = {"chats": chats, "catch_up": catch_up}
        self._make_adapter = adapter
        self.permissions = permissions
        """As the configuration has them; read by `start`."""
        self._relay = relay
        self._status = status
        self._media = msgspec.structs.replace(media or MediaRules(), offload=False)
        self._connection_errors = connection_errors
        self._before = asyncio.all_tasks()
        self._pump: asyncio.Task[None] | None = None
        self._transactions = 0
        self.batch = 100
        """How many events a transaction has at most."""
        self.door = Door(self.rng)
        self._bridge: Bridge | None = None

    @property
    def bridge(self) -> Bridge:
        """The process that runs now."""
        assert self._bridge is not None, "no bridge is running"
        return self._bridge

    # --- the process ------------------------------------------------------------------------------------------------
    async def start(self, *, login: bool | Login = True) -> None:
        """Start a process. `login`: Alice is logged in to the account ``mine``, or to this one."""
        self.door = Door(self.rng)
        self.homeserver.on_recovered.clear()
        self.store: Store = self.door.guard(self._new_store(), store=True)
        self._bridge = Bridge(
            self._make_adapter(self.network),
            self.store,
            cast(Homeserver, self.door.guard(self.homeserver, store=False)),
            self.clock,
            IDENTITY,
            ping=self._ping,
            random=lambda: 0.5,
            times=self._times,
            permissions=Permissions(self.permissions) if self.permissions is not None else None,
            relay=self._relay,
            status=self._status,
            media=self._media,
            direct_events=self.direct_events,
            connection_errors=self._connection_errors,
            **cast(Any, self._rules),
        )
        await self._bridge.open()
        self._bridge.start()
        if login and not self._bridge.books.logins():
            mine = Login(id=LoginID(MINE), user=MINE, name="Mine") if login is True else login
            await self._bridge.logins.add(LoginRecord(login=mine, user_id=ALICE))
        self._pump = asyncio.create_task(self._push(self._bridge), name="push")

    async def stop(self) -> None:
        """End the process in peace."""
        await self._end_pump()
        await self.bridge.stop()
        self._bridge = None

    async def kill(self) -> None:
        """End the process at once; nothing that it still tries takes effect. Its lease expires meanwhile."""
        points.hook = None
        self.door.dead = True
        await self._end_pump()
        self.bridge._lanes._running = False  # or a lane would begin anew when its worker has ended
        tasks = self._tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._bridge = None
        self.clock.jump(20)

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """All that belong to the process."""
        return asyncio.all_tasks() - self._before

    def kill_at(self, point: str, *, after: int = 0) -> asyncio.Event:
        """Kill the process when it comes to this point for the time after the next `after`. Set when it is dead:
        call `kill` then, to clear up."""
        dead = asyncio.Event()
        left = after

        def hook(reached: str) -> None:
            nonlocal left
            if self.door.dead:
                raise Killed
            if reached == point:
                left -= 1
                if left < 0:
                    self.door.dead = True
                    dead.set()
                    raise Killed

        points.hook = hook
        return dead

    async def _ping(self) -> None:
        if self.door.dead:
            raise Killed

    # --- pushing ----------------------------------------------------------------------------------------------------
    async def _push(self, bridge: Bridge) -> None:
        """One transaction at a time, again until it is answered, as homeservers do."""
        outbox = self.homeserver.outbox
        while True:
            while outbox:
                events = tuple(list(outbox)[: self.batch])
                self._transactions += 1
                transaction = Transaction(events=tuple(raw(event).raw for event in events))
                try:
                    await bridge.transaction(str(self._transactions), transaction)
                except StoreError:
                    await self.clock.sleep(1.0)
                    continue
                for event in events:
                    if outbox and outbox[0] is event:
                        outbox.popleft()
            self.homeserver.pushed.clear()
            await self.homeserver.pushed.wait()

    async def _end_pump(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None

    # --- waiting ----------------------------------------------------------------------------------------------------
    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that can, and then so much time pass."""
        await idle()
        if seconds:
            await self.clock.advance(seconds)

    async def until(self, condition: Callable[[], bool], *, within_s: float = 7200) -> None:
        """Wait until the condition holds; time passes when nothing else happens."""
        await until(condition, clock=self.clock, within_s=within_s)

    async def room(self, name: str) -> RoomID:
        """Wait until there is a room of this name; Alice joins it."""
        rooms = self.homeserver.rooms

        def called() -> list[RoomID]:
            return [id for id, room in rooms.items() if room.state.get(("m.room.name", ""), {}).get("name") == name]

        await self.until(lambda: bool(called()))
        room = called()[0]
        self.homeserver.join_person(room, ALICE)
        await idle()
        return room

    async def portal(self, chat: str = "chat") -> RoomID:
        """Somebody writes ``hello`` in a chat; its room, which Alice has joined."""
        before = set(self.homeserver.rooms)
        self.network.say(chat, "friend", "hello")
        await self.until(
            lambda: any("hello" in self.homeserver.bodies(room) for room in set(self.homeserver.rooms) - before)
        )
        (room,) = (room for room in set(self.homeserver.rooms) - before if "hello" in self.homeserver.bodies(room))
        self.homeserver.join_person(room, ALICE)
        await idle()
        return room
