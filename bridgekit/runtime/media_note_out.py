"""What is on disk of a file on its way to the network: the payload of its `MediaJob`."""

from __future__ import annotations

import msgspec

from bridgekit.core.media_from_matrix import ReadFile
from bridgekit.model.ids import EventID, RemoteMessageID, RoomID
from bridgekit.model.records import MediaJob


class UploadNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """`remote`: what the network calls the file, once it has it. `reserved`: what it will be called; `sent`: the
    message went ahead with that. `code`, `reason`: it has failed for good. `waits`: why the last attempt failed. Of a
    message that went ahead of a file that failed: `told`: its sender knows; `targets`: what is to be deleted at the
    network, and forgotten here already."""

    file: ReadFile
    room: RoomID
    event_id: EventID
    remote: str = ""
    reserved: str = ""
    sent: bool = False
    code: str = ""
    reason: str = ""
    waits: str = ""
    told: bool = False
    targets: tuple[RemoteMessageID, ...] = ()

    @property
    def settled(self) -> bool:
        """There is nothing more to carry."""
        return bool(self.remote or self.code)


_encode = msgspec.msgpack.Encoder().encode
decode_upload = msgspec.msgpack.Decoder(UploadNote).decode


def upload_id(event_id: EventID) -> str:
    """The `MediaJob.id` of an event's file."""
    return f"upload {event_id}"


def note_of(job: MediaJob) -> UploadNote:
    return decode_upload(job.payload)


def noted(job: MediaJob, note: UploadNote) -> MediaJob:
    return msgspec.structs.replace(job, payload=_encode(note))


def payload(note: UploadNote) -> bytes:
    return _encode(note)
