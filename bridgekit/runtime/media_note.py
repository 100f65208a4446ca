"""What is on disk about a file of the network's that is still to come: `MediaJob.payload`, and an entry's progress."""

from __future__ import annotations

import msgspec

from bridgekit.core.media_contents import FileEvent
from bridgekit.core.reservation import Place, renew_at
from bridgekit.core.txnid import event_txn_id
from bridgekit.model.ids import EventID, PortalKey, RoomID, TxnID, UserID
from bridgekit.model.media import MediaRef
from bridgekit.model.records import MediaJob
from bridgekit.model.remote import RemoteMessage


class FileNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A file's job. `message` is the network's, `file` which of its files, `part` which of its events; `event_id` that
    event, in `room`, by `sender`; `event` what it shows now, or is about to.

    `place`, `thumbnail`: where the bytes go; None: to be uploaded without a reservation. `revision`: how many edits
    were made; `announce`: the last of them may not be in the room yet; `settled`: nothing but that is left to do.
    `lost`: how many reservations were gone before their time.
    """

    message: RemoteMessage
    file: int
    part: int
    room: RoomID
    event_id: EventID
    sender: UserID
    event: FileEvent
    place: Place | None = None
    thumbnail: Place | None = None
    revision: int = 0
    announce: bool = False
    settled: bool = False
    lost: int = 0

    @property
    def ref(self) -> MediaRef:
        """The file, as the network described it."""
        return self.message.media[self.file]

    @property
    def urgent_at(self) -> int | None:
        """When (ms) its reservation must be renewed."""
        places = [place for place in (self.place, self.thumbnail) if place is not None]
        return min(map(renew_at, places), default=None) if not self.settled else None

    def edit_key(self) -> TxnID:
        """The transaction id of its present revision."""
        return event_txn_id(
            portal=self.message.portal,
            sender=self.sender,
            kind="file",
            remote_id=self.message.id,
            occurrence=self.revision,
            part=self.part,
        )


class Slot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was arranged for a file of the message at a lane's head: `place` and `thumbnail` are reserved; or `uri`: it
    is there already, as `ref` describes it; or `failed`: why it will not be. None of them: it comes without a
    reservation."""

    place: Place | None = None
    thumbnail: Place | None = None
    uri: str = ""
    failed: str = ""
    ref: MediaRef | None = None

    @property
    def is_open(self) -> bool:
        """Whether the bytes are still to come."""
        return not self.uri and not self.failed


encode_note = msgspec.msgpack.Encoder().encode
decode_note = msgspec.msgpack.Decoder(FileNote).decode
encode_slots = msgspec.msgpack.Encoder().encode
NO_SLOTS = encode_slots({})
decode_slots = msgspec.msgpack.Decoder(dict[int, Slot]).decode


def job_id(portal: PortalKey, sender: UserID, remote_id: str, part: int) -> str:
    """The job of the file that is this part of a message."""
    return event_txn_id(portal=portal, sender=sender, kind="message", remote_id=remote_id, occurrence=0, part=part)


def with_note(job: MediaJob, note: FileNote) -> MediaJob:
    """The same job, of which this is known now."""
    return msgspec.structs.replace(job, payload=encode_note(note))
