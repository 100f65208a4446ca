"""A short run of the chaos (`make chaos` is the long one): a few kills, every named point at least once in both runs
together, Synapse among the killed; with a network that drops repeats, and with one that does not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridgekit.runtime import points
from tests.chaos.result import Result
from tests.chaos.run import PER_KILL, Chaos, Options

WITH_DEDUPE = (
    points.APPEND_AFTER,
    points.PULL_BEFORE,
    points.ROOM_CREATED,
    points.NETWORK_SENT,
    points.MATRIX_SENT,
    points.MEDIA_RESERVED,
    points.MEDIA_UPLOADED,
)
WITHOUT = (
    points.INTAKE_STAGED,
    points.APPEND_BEFORE,
    points.ANSWER_BEFORE,
    points.PARTS_BETWEEN,
    points.PULL_AFTER,
    points.ROOM_BEFORE,
    points.MEDIA_SENT,
    points.MEDIA_HALF,
)


SEED = 1494
"""Of a plan in which the rooms are made before Synapse is killed: one that is left half made is waited for half a
minute, which is for the long run."""


def test_every_point_is_hit() -> None:
    assert {*WITH_DEDUPE, *WITHOUT} == {*points.POINTS}


@pytest.mark.parametrize("dedupe, at", [(True, WITH_DEDUPE), (False, WITHOUT)], ids=["dedupe", "no dedupe"])
async def test_nothing_is_lost_doubled_or_reordered(*, dedupe: bool, at: Sequence[str]) -> None:
    options = Options(kills=len(at), seed=SEED, dedupe=dedupe, at=at, min_hits=1, synapse_every=3, chats=6, pause_s=1.6)
    directory = Path(tempfile.mkdtemp(prefix="bridgekit-chaos-"))
    said: list[str] = []
    result = await Chaos(options, directory, said.append).run()
    assert_good(result, at, "\n".join([*said, *result.problems, result.line(), f"logs are in {directory}"]))
    shutil.rmtree(directory)


def assert_good(result: Result, at: Sequence[str], story: str) -> None:
    assert result.ok, story
    assert result.problems == [], story
    assert (result.lost, result.duplicated, result.reordered) == (0, 0, 0), story
    assert (result.failed, result.misattributed) == (0, 0), story
    assert (result.wrong_text, result.wrong_reactions, result.undeleted, result.refused) == (0, 0, 0, 0), story
    assert (result.wrong_files, result.dead_placeholders) == (0, 0), story
    assert min(result.files, result.edits, result.reactions, result.deletions) > 0, story
    assert result.uncertain <= (0 if result.dedupe else result.in_flight), story
    # A lower minimum than the long run's three, so that this one is short.
    assert all(result.points[point] >= 1 for point in at), story
    assert result.kills >= len(at), story
    assert result.synapse_kills >= 1, story
    assert result.sent >= PER_KILL * result.kills, story
