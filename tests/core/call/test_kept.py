"""What is kept of a call, and the line that it leaves."""

from __future__ import annotations

import msgspec
import pytest

from bridgekit.core.call import sdp, words
from bridgekit.core.call.book import Book
from bridgekit.core.call.callee import Callee
from bridgekit.core.call.candidates import OFFER_MS, STASH_BYTES, STASH_MS
from bridgekit.core.call.effects import Ended, Note, SendMatrix
from bridgekit.core.call.machine import FORGET_MS
from bridgekit.core.call.states import Role
from bridgekit.model.calls import (
    CallEnd,
    CallKind,
    MatrixCallCandidates,
    MatrixCallProgress,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallUpdate,
)
from bridgekit.model.ids import CallID
from tests.core.call.case import Case, candidates, negotiate
from tests.core.call.ends import PORTAL, START
from tests.core.call.samples import bare, full, host


def test_a_call_outlives_the_process() -> None:
    case = Case().connected()
    case.new()
    case.world.restart()
    case.matrix("negotiate", **negotiate(full(direction="recvonly")))
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe", direction="sendonly"))
    case.matrix("hangup", reason="user_hangup")
    assert case.new() == (["negotiate"], ["Update", "HangUp"])
    case = Case().connected()
    case.world.restart()
    case.new()
    case.remote(RemoteCallHangUp)
    assert case.new() == (["hangup"], [])


def test_the_same_event_to_the_same_snapshot_gives_the_same_effects() -> None:
    case = Case().invite()
    data = case.call.snapshot()
    done = []
    for _ in range(2):
        (call,) = Book().restore([data])
        answer = RemoteCallAnswer(portal=PORTAL, call=CallID("m1"), sdp=full("RmTe"), timestamp=START)
        call.receive(answer, START)
        done.append(call.effects())
    assert done[0] == done[1] != []
    keys = [one.key for one in done[0] if isinstance(one, SendMatrix)]
    assert len(keys) == len(set(keys)) == 2


def test_one_that_rang_when_the_process_died_ends_when_its_time_is_over() -> None:
    case = Case().offer()
    case.world.restart()
    case.new()
    case.wait(200_000)
    assert case.new() == (["hangup"], ["Reject"])


def test_nothing_is_kept_for_ever() -> None:
    case = Case().connected().matrix("hangup")
    assert len(case.call.snapshot()) < 1500
    case.wait(FORGET_MS)
    assert len(case.book) == 0 and not case.book._by_matrix_id
    for number in range(1_200):
        case.matrix("candidates", call_id=f"c{number}", **candidates(host()))
        case.invite(call_id=f"d{number}").matrix("hangup", call_id=f"d{number}")
    case.wait(0)
    assert len(case.book) <= 1_000
    assert len(case.book._stash) <= 200
    case.wait(2 * FORGET_MS)
    assert len(case.book) == len(case.book._stash) == 0


def test_what_waits_for_calls_that_never_come_is_bounded_in_bytes() -> None:
    case = Case()
    lines = [host(n + 1) + " x" * 400 for n in range(60)]
    for number in range(150):
        case.matrix("candidates", call_id=f"c{number}", **candidates(*lines))
    assert 0 < sum(len(line) for line in lines) * len(case.book._stash) <= STASH_BYTES
    assert not case.invite(bare(), call_id="c0").told
    assert case.invite(bare(), call_id="c149").matrix("candidates", call_id="c149", **candidates("")).told
    case.wait(STASH_MS)
    assert len(case.book._stash) == case.book._stash._bytes == 0


def test_candidates_of_a_call_are_bounded() -> None:
    case = Case().invite(bare())
    for number in range(600):
        case.matrix("candidates", **candidates(host(number % 60_000 + 1, f"10.0.0.{number % 250}")))
    case.wait(OFFER_MS)
    assert len(case.told[0].sdp) < sdp.MAX_BYTES
    assert len(case.call.snapshot()) < 100_000


@pytest.mark.parametrize(
    "case",
    [
        Case().invite(bare()),
        Case().invite(),
        Case().answered(),
        Case().connected(),
        Case().connected().remote(RemoteCallUpdate, sdp_type="offer", sdp=full("RmTe", direction="sendonly")),
        Case(trickle="trickle").offer(bare("RmTe")),
        Case().offer(),
        Case().called(),
        Case().offer().matrix("reject", call_id="-r1"),
    ],
    ids=["gathering", "ringing", "answered", "connected", "renegotiating", "batch", "invited", "called", "over"],
)
def test_a_clock_that_is_set_back_puts_nothing_off(case: Case) -> None:
    due = case.book.next_timer()
    assert due is not None
    case.book.set_back(3_600_000)
    assert case.book.next_timer() == due - 3_600_000
    case.world.restart()
    assert case.book.next_timer() == due - 3_600_000


@pytest.mark.parametrize("reason", CallEnd)
def test_every_end_has_its_line(reason: CallEnd) -> None:
    note = Note(role=Role.CALLEE, kind=CallKind.VIDEO, reason=reason, by_matrix=False, connected_ms=None)
    assert words.line(note).startswith("Video call")
    assert words.line(note)[-1] not in ": "
    talked = msgspec.structs.replace(note, connected_ms=3_723_000)
    assert words.line(talked).startswith("Video call ended after 1:02:03")


def test_a_call_leaves_one_line() -> None:
    case = Case().connected().wait(61_000).matrix("hangup").remote(RemoteCallHangUp)
    (note,) = [one for one in case.others if isinstance(one, Note)]
    assert words.line(note) == "Call ended after 1:01"
    assert isinstance(case.others[-1], Ended)


def test_what_a_value_says_is_what_the_surface_says() -> None:
    case = Case().connected()
    assert isinstance(case.call, Callee)
    assert not [one for one in case.told if isinstance(one, MatrixCallCandidates)]
    assert isinstance(case.told[-1], MatrixCallProgress)
