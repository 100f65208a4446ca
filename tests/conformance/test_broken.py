"""An adapter that is broken fails the contract, and the failure says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgekit.adapter import Adapter, Session
from bridgekit.testing.conformance import AdapterContract
from example_bridge.webchat.adapter import WebchatSession
from tests.conformance import broken, broken_files
from tests.conformance.webchat import WebchatRemote


class Impatient(WebchatRemote):
    patience_s = 2.0


FAULTS: tuple[tuple[type[Session] | type[Adapter], str, str], ...] = (
    (
        broken.IgnoresTheCursor,
        "test_a_new_connection_goes_on_behind_the_cursor",
        (
            "`events` yielded 60 messages, and after a reconnect with their cursors in `after` it yields events again"
            " from the start: `after` is ignored"
        ),
    ),
    (
        broken.ConfirmsTooEarly,
        "test_what_is_not_on_disk_comes_again",
        (
            "was yielded, and the process ended before it was on disk (the iterator was not resumed after it): it never"
            " came again"
        ),
    ),
    (
        broken.ConfirmsTooEarly,
        "test_crashes_while_events_come",
        "of what was said while the bridge crashed, Matrix shows not all messages once: twice [], never ['theirs",
    ),
    (
        broken.BeginsNow,
        "test_the_first_message_is_not_lost",
        "the first message that a new login saw was yielded, the process ended before it was on disk, and it never",
    ),
    (
        broken.Reorders,
        "test_messages_come_in_order_and_once",
        "`events` yields messages in another order than they were said in",
    ),
    (
        broken.YieldsTwice,
        "test_messages_come_in_order_and_once",
        "`events` yields not all messages once: twice ['words",
    ),
    (broken.YieldsTwice, "test_a_conversation", "of what the friend said, Matrix shows not all messages once"),
    (
        broken.HidesTheEnd,
        "test_a_broken_connection_ends_the_iterator",
        "the connection was cut, and `events` neither ended nor raised",
    ),
    (broken.CountsInSeconds, "test_what_is_said_comes", "it must be ms since the epoch"),
    (
        broken.YieldsLists,
        "test_what_is_said_comes",
        "RemoteMessage.aliases is not the same when it has been written down",
    ),
    (
        broken.YieldsNumbers,
        "test_what_is_said_comes",
        "RemoteMessage cannot be written down as it was yielded: Expected `str`, got `int` - at `$.id`",
    ),
    (
        broken.LosesItsNonce,
        "test_our_own_message_is_recognised",
        "our own message came back without its nonce, though the network gives it back",
    ),
    (
        broken.HidesItsOwn,
        "test_our_own_message_is_recognised",
        "the network shows the account its own messages (`returns_nonces`), and `events` drops them",
    ),
    (broken.EditsAllAlike, "test_an_edit_comes", "two edits of a message have the same RemoteEdit.revision ('1')"),
    (broken.ReactsAllAlike, "test_a_reaction_comes_and_goes", "each needs its own, or the last is taken for a repeat"),
    (
        broken.ReadsUnits,
        "test_a_mention_comes",
        "comes as a mention of 'you ': Offsets are in code points; `Utf16Offsets` converts",
    ),
    (
        broken.DropsTheNonce,
        "test_a_repeat_is_dropped",
        "a message was sent again with the same nonce, and the network has it 2 times: `dedupes_for` promises",
    ),
    (
        broken.DropsTheNonce,
        "test_a_crash_behind_a_send",
        "the network has the message 2 times: `dedupes_for` or `find`",
    ),
    (
        broken.ReturnsTooEarly,
        "test_what_is_refused_is_rejected",
        "the network refused a message, and send() returned: its sender believes that it has arrived",
    ),
    (
        broken.SwallowsErrors,
        "test_what_is_not_taken_yet_is_transient",
        "the network did not take a message, and send() returned: it is lost. Raise Transient",
    ),
    (broken.SwallowsErrors, "test_the_sender_reads_why", "the network refused a message, and Alice was not told"),
    (
        broken.TakesRefusalsForDelays,
        "test_what_is_refused_is_rejected",
        (
            "the network refused a message for good, and send() raised Transient(the webchat refused it (refused on"
            " demand)): the chat's queue waits and it is tried again. Raise Rejected"
        ),
    ),
    (
        broken.LetsItsOwnErrorsOut,
        "test_what_is_refused_is_rejected",
        "send() raised WebchatError(the webchat refused it (refused on demand)): bridgekit takes that for a bug",
    ),
    (
        broken.TakesSilenceForNo,
        "test_an_answer_that_is_lost_is_not_a_refusal",
        (
            "the connection broke before its answer, and send() raised Transient('no answer'), which says that the"
            " network took nothing"
        ),
    ),
    (broken.InventsIds, "test_what_is_sent_is_there", "']; the network calls the message"),
    (broken.InventsIds, "test_a_repeat_is_dropped", "ids must be the network's own"),
    (
        broken.SendsPoints,
        "test_a_mention_is_sent",
        "arrived as a mention of ' @Frien': Offsets are in code points; `Utf16Offsets` converts",
    ),
    (broken.ForgetsWhatItAnswers, "test_a_reply_is_sent", "it answers nothing there: give `message.reply_to` on"),
    (
        broken.EditsWithoutTarget,
        "test_an_edit_is_sent",
        "edit() left the old text there and sent the new one as another message: `edit.target` is ignored",
    ),
    (
        broken.DeletesOnce,
        "test_a_deletion_is_sent",
        "delete() of what is deleted already, as after a crash, failed, though nothing was wrong: Rejected",
    ),
    (
        broken.BlocksSending,
        "test_a_paused_pull_blocks_no_send",
        "send() waits for the iterator to be resumed",
    ),
    (
        broken_files.EndsFilesEarly,
        "test_a_download_that_breaks_is_an_error",
        "the network broke off a file in its middle, and `chunks` ended after 300000 of 700001 bytes as if that were",
    ),
    (broken_files.CountsItsFilesWrong, "test_a_file_comes_whole", "MediaStream.size is 933334, and 700001 bytes came"),
    (
        broken_files.SendsHalfFiles,
        "test_a_source_that_breaks_off_is_no_file",
        "the file's source raised Transient in its middle, and upload() returned",
    ),
    (
        broken.KeepsThePicture,
        "test_a_chats_picture_is_taken_away",
        "set_avatar(None) returned, and the chat still has a picture: None takes it away",
    ),
    (
        broken.OnlyPromotes,
        "test_somebody_gets_a_role",
        "set_role() of a member returned, and 'stranger' is not a member there",
    ),
    (broken.AsksForItsLimits, "test_limits_are_known_at_once", "limits() looks up a name: it is asked before every"),
    (broken.KnowsFewLimits, "test_limits_are_known_at_once", "limits() raised KeyError"),
    (broken.PromisesTooMuch, "test_what_fits_is_taken", "as long as Limits allows in codepoints failed"),
    (
        broken.ConnectsAnyway,
        "test_a_revoked_account_has_to_log_in_again",
        "the credentials no longer count, and `connect` and `events` raised Transient",
    ),
    (
        broken.AnotherLoginEachTime,
        "test_the_same_account_is_the_same_login",
        "to log in again would make a second login",
    ),
    (broken.NobodyIsRefused, "test_who_has_no_account_is_refused", "for somebody who has no account; raise Rejected"),
    (
        broken.ForgetsACapability,
        "test_methods_belong_to_capabilities",
        "OnlySends has edit, and does not inherit CanEdit: nobody would ever call it",
    ),
)


def contract(of: type[Session] | type[Adapter]) -> AdapterContract:
    made = AdapterContract()
    adapter = of if issubclass(of, Adapter) else broken.adapter_of(of)  # type: ignore[arg-type]  # a webchat session
    made.adapter, made.remote = adapter, Impatient  # type: ignore[misc]  # as a subclass would
    return made


@pytest.mark.parametrize("kind, test, words", FAULTS, ids=[f"{kind.__name__}-{test}" for kind, test, _ in FAULTS])
def test_the_failure_names_the_fault(
    kind: type[Session] | type[Adapter], test: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        getattr(contract(kind), test)(tmp_path)
    assert words in str(failed.value)


def test_the_same_tests_pass_without_the_faults(tmp_path: Path) -> None:
    """What the mutants are made of is fine, also in the patience that they get."""
    for test in sorted({test for _, test, _ in FAULTS}):
        directory = tmp_path / test
        directory.mkdir()
        getattr(contract(broken.Broken), test)(directory)
    assert issubclass(broken.Broken, WebchatSession)
