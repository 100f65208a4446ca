"""One run: the parts are started, killed by plan while messages cross, drained, and compared."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from bridgekit.runtime import points
from bridgekit.testing.process import tail
from tests.chaos.bridge import KILL_AT, STAGED
from tests.chaos.ends import Ends
from tests.chaos.inflight import read_flights, unexplained
from tests.chaos.judge import Findings, judge
from tests.chaos.load import Load
from tests.chaos.plan import Kill, make_plan
from tests.chaos.result import Result
from tests.chaos.weather import rage
from tests.chaos.world import Database, World

PER_KILL = 20
"""Messages that are accepted between two kills, at least."""

AT_MOST_PER_KILL = 30
"""Nobody speaks after so many, with what they change, until the next life."""

REACH_S = 40.0
"""How long a point may take to be reached; then the bridge is killed all the same, and the point planned once more."""

STALL_S = 90.0
"""Once nothing more is sent, something must arrive within this time until all has. It is more than a lane waits for a
room that a killed homeserver has left half made (`portals.ABANDON_AFTER_S`), and for a few failures' backoff."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: the points to hit, at least `min_hits` times each. Every `synapse_every`th kill takes Synapse along."""

    kills: int = 60
    seed: int = 1
    dedupe: bool = True
    database: Database = "sqlite"
    at: Sequence[str] = points.POINTS
    min_hits: int = 3
    synapse_every: int = 8
    people: int = 2
    chats: int = 10
    pause_s: float = 2.4


class ChaosError(Exception):
    """The run itself has failed: what it would have said is not known."""


class Chaos:
    """See `run`."""

    def __init__(self, options: Options, directory: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._random = Random(options.seed)
        self.plan = make_plan(
            self._random,
            options.kills,
            at=options.at,
            min_hits=options.min_hits,
            synapse_every=options.synapse_every,
        )
        self._world = World(directory, dedupe=options.dedupe, database=options.database, people=options.people)
        self._load: Load
        self._hits: Counter[str] = Counter(dict.fromkeys(options.at, 0))
        self._kill_times: list[int] = []
        self._synapse_kills = 0
        self._missed = 0
        self._helpers: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        """Raises `ChaosError` if something ends that nobody killed."""
        began = time.monotonic()
        async with self._world as world:
            self._load = Load(
                world,
                self._random,
                active=self._options.chats,
                pause_s=self._options.pause_s,
                resize=self._options.dedupe,
            )
            followers = [asyncio.create_task(person.follow()) for person in world.people]
            # Of a random source of its own: how often it is asked depends on the clock.
            weather = asyncio.create_task(rage(await world.anybody(), Random(self._options.seed)))
            followers.append(weather)
            try:
                for _ in range(self._options.chats):
                    await self._load.begin_chat()
                await self._load.until_sent(PER_KILL)
                if code := await world.bridge.stop():
                    raise ChaosError(f"the bridge was asked to stop, and its exit code was {code}")
                await self._kill_by_plan()
                await self._end_in_peace()
                weather.cancel()
                await asyncio.wait([weather])
                if not weather.cancelled():
                    raise ChaosError("there was no weather any more") from weather.exception()
                return await self._compare(time.monotonic() - began)
            finally:
                for task in (*followers, *self._helpers):
                    task.cancel()
                await asyncio.gather(*followers, *self._helpers, return_exceptions=True)

    # --- killing ------------------------------------------------------------------------------------------------------
    async def _kill_by_plan(self) -> None:
        queue = list(self.plan)
        while queue:
            kill = queue.pop(0)
            if not await self._carry_out(kill):
                self._missed += 1
                if self._missed > len(self.plan):
                    raise ChaosError("points are not reached")
                queue.append(msgspec.structs.replace(kill, count=1, synapse=None))

    async def _carry_out(self, kill: Kill) -> bool:
        world, load = self._world, self._load
        goal, began = load.sent + PER_KILL, time.monotonic()
        load.allow(load.sent + AT_MOST_PER_KILL)
        world.mark.unlink(missing_ok=True)
        load.wishes.long, load.wishes.files = kill.long, kill.files
        environment = {KILL_AT: f"{kill.point}:{kill.count}"} if kill.point else {}
        await world.bridge.launch(environment={**environment, STAGED: str(int(kill.staged))})
        for _ in range(kill.new_chats):
            await load.begin_chat()
        synapse = asyncio.create_task(self._kill_synapse(kill.synapse_delay_s)) if kill.synapse == "first" else None
        done = await self._until_dead(kill)
        if kill.synapse == "together":
            await self._kill_synapse(0.0)
        self._note_kill(kill, done=done, seconds=time.monotonic() - began)
        if kill.synapse == "down":
            await self._kill_synapse(0.0)
        if synapse is not None:
            await synapse
        await load.until_sent(goal)
        return done

    async def _until_dead(self, kill: Kill) -> bool:
        """Returns whether it died as planned."""
        bridge = self._world.bridge
        try:
            async with asyncio.timeout(REACH_S if kill.point else kill.delay_s):
                code = await bridge.wait()
        except TimeoutError:
            await bridge.kill()
            return kill.point is None
        if code != -signal.SIGKILL or not self._world.mark.exists():
            raise ChaosError(f"the bridge ended by itself, with code {code}:\n{tail(bridge.log)}")
        self._hits[self._world.mark.read_text(encoding="ascii")] += 1
        return True

    async def _kill_synapse(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)  # noqa: TID251 - a random moment is the point
        self._synapse_kills += 1
        await self._world.restart_synapse()

    def _note_kill(self, kill: Kill, *, done: bool = True, seconds: float = 0.0) -> None:
        self._kill_times.append(time.time_ns() // 1_000_000)
        number = f"{len(self._kill_times)}/{len(self.plan) + self._missed}"
        how = str(kill) if done else f"{kill}: NOT reached in time, killed all the same"
        self._say(f"kill {number} after {seconds:.1f} s, {self._load.sent} messages so far: {how}")

    # --- the end ------------------------------------------------------------------------------------------------------
    async def _end_in_peace(self) -> None:
        """The last bridge is not killed; Synapse is, once more, while it runs."""
        load = self._load
        await self._world.bridge.start()
        for last in (False, True):
            load.allow(load.sent + AT_MOST_PER_KILL)
            await load.until_sent(load.sent + PER_KILL)
            if not last:
                await self._kill_synapse(0.0)
        await load.finish()
        self._say(f"{load.sent} messages are sent; waiting until all have arrived")

    async def _drain(self, ends: Ends) -> int:
        """Wait until all have arrived; if they stop coming, start the bridge anew. Returns how many came only then.
        What is missing in the end is for the judge."""
        left = await self._until_none(ends)
        if not left:
            return 0
        self._say(f"{len(left)} messages or changes do not arrive; the bridge is started again: {left[:20]}")
        await self._world.bridge.stop()
        await self._world.bridge.start()
        return len(left) - len(await self._until_none(ends))

    async def _until_none(self, ends: Ends) -> list[str]:
        """Wait until nothing is outstanding, for as long as it becomes less."""
        fewest, deadline = math.inf, 0.0
        while left := await self._outstanding(ends):
            if len(left) < fewest:
                fewest, deadline = len(left), time.monotonic() + STALL_S
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(0.3)  # noqa: TID251 - two foreign servers are polled, with a deadline
        return left

    async def _outstanding(self, ends: Ends) -> list[str]:
        """Messages first, as changes follow them and take longer to ask for."""
        if missing := await ends.missing():
            # More than there can be changes, so that they become less.
            return missing + ["..."] * self._load.changes.total()
        found = [judge(way) for way in (await ends.ways())[0]]
        return [problem for each in found if each.lost + each.wrong() for problem in each.problems]

    async def _compare(self, seconds: float) -> Result:
        ends = Ends(self._world, self._load)
        began = time.monotonic()
        late_arrivals = await self._drain(ends)
        self._say(f"drained in {time.monotonic() - began:.1f} s")
        code = await self._world.bridge.stop()
        ways, problems = await ends.ways()
        problems += await ends.forgotten_by_homeserver()
        if code != 0:
            problems.append(f"the bridge's exit code was {code}")
        found = Findings(problems=problems)
        for way in ways:
            found.add(judge(way))
        flights = read_flights(self._world.flights, self._kill_times)
        found.problems += unexplained(ways, flights)
        for line in self._world.errors():
            self._say(f"in the bridge's log: {line}")
        options = self._options
        result = Result(
            kills=len(self._kill_times),
            points=dict(self._hits),
            random_kills=len(self._kill_times) - self._hits.total(),
            synapse_kills=self._synapse_kills,
            rooms=len({room for person in self._world.people for room in person.rooms}),
            in_flight=sum(map(len, flights.values())),
            missed=self._missed,
            repaired_by_restart=late_arrivals,
            problems=found.problems,
            sent=found.sent,
            files=self._load.files,
            edits=self._load.changes["edits"],
            reactions=self._load.changes["reactions"],
            deletions=self._load.changes["deletions"],
            wrong_text=found.wrong_text,
            wrong_reactions=found.wrong_reactions,
            undeleted=found.undeleted,
            wrong_files=found.wrong_files,
            dead_placeholders=found.dead_placeholders,
            refused=found.refused,
            lost=found.lost,
            duplicated=found.duplicated,
            reordered=found.reordered,
            late=found.late,
            uncertain=found.uncertain,
            uncertain_but_sent=found.uncertain_but_sent,
            uncertain_in_part=found.uncertain_in_part,
            failed=found.failed,
            misattributed=found.misattributed,
            seed=options.seed,
            dedupe=options.dedupe,
            database=options.database,
            seconds=round(seconds + time.monotonic() - began, 1),
        )
        result.ok = not result.judged(min_hits=options.min_hits)
        return result
