"""Brings the bytes of a file of the network's to the homeserver, and says what it means where that fails."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator

from bridgekit.adapter.capabilities import CanFetchMedia, capability
from bridgekit.core.media_info import filename_of
from bridgekit.core.policy import End, Pause, Retry, judge_homeserver, judge_network
from bridgekit.core.reservation import Answer, Place, judge_fill
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI, LoginID, UserID
from bridgekit.model.media import MediaRef, Upload
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.media_carrier import NO_ROOM, JobLater, JobWaits, Refused, as_decided, as_exception
from bridgekit.runtime.media_note import FileNote
from bridgekit.runtime.media_stream import NoRoom, SourceFailed, TooLarge, TooLargeToKeep, Transfers
from bridgekit.runtime.media_words import too_large, too_large_to_keep
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

NOT_FETCHED = "this bridge cannot fetch files from the network"
LOGGED_OUT = "the account that received it has logged out"
THUMBNAIL_TRIES = 3
"""After so many failures a file goes without its thumbnail, if it is that which fails."""

LOOK_MS = 1_000
"""How long the homeserver may wait for a file that it says to have."""


class Fetcher:
    """Knows both ends of a transfer: the session that opens the file, and the homeserver that takes it."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        sessions: Sessions,
        transfers: Transfers,
        *,
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._transfers = transfers
        self._connection_errors = connection_errors

    async def transfer(
        self, login: LoginID, note: FileNote, ref: MediaRef, place: Place | None
    ) -> tuple[ContentURI, MediaRef]:
        """Bring one file over, into its place if it has one. Raises `Refused`, `JobLater`, `JobWaits`, and for a place
        that is not ours any more, `Gone`."""
        if self._books.login(login) is None:
            raise Refused(LOGGED_OUT)
        session = self._sessions.session(login)
        if session is None:
            raise JobWaits
        fetcher = capability(session, CanFetchMedia)
        if fetcher is None:
            raise Refused(NOT_FETCHED)
        send = functools.partial(self._send, place=place, user=note.sender)
        limit: int | None = None
        try:
            limit = await self._homeserver.media_limit()
            opener = functools.partial(fetcher.open_media, note.message, ref)
            return await self._transfers.carry(ref, opener, send, limit=limit)
        except TooLarge as error:
            raise Refused(too_large(limit)) from error
        except TooLargeToKeep as error:
            raise Refused(too_large_to_keep(self._transfers.spool_bytes)) from error
        except NoRoom as error:
            words = "other files take the room on the bridge's disk"
            raise JobLater(Retry(code=NO_ROOM, reason=words, forever=True)) from error
        except SourceFailed as failed:
            cause = as_exception(failed.error)
            match verdict := judge_network(cause, connection_errors=self._connection_errors, repeatable=True):
                case Retry():
                    raise JobLater(verdict) from failed
                case Pause():
                    await self._sessions.refused(login, session, verdict.reason)
                    raise JobWaits from failed
                case End():
                    if verdict.bug:
                        log.error("the adapter failed to open a file", exc_info=failed.error)
                    raise Refused(verdict.reason) from failed
        except OSError as error:
            # Not of the network's, nor of the homeserver's, which come as the errors above: of the bridge's own disk.
            log.error("a file could not be kept meanwhile: %s", error)
            raise JobLater(Retry(code="disk", reason="the bridge could not keep it on its disk")) from error
        except (HomeserverUnreachable, MatrixRequestError) as refused:
            raise as_decided(judge_fill(refused, reserved=place is not None)) from refused

    async def _send(
        self, chunks: AsyncIterator[bytes], size: int, ref: MediaRef, *, place: Place | None, user: UserID
    ) -> ContentURI:
        upload = Upload(size=size, mimetype=ref.mimetype, filename=filename_of(ref), user=user)
        if place is None:
            return await self._homeserver.upload_media(chunks, upload)
        try:
            await self._homeserver.fill_media(place.uri, chunks, upload)
        except MatrixRequestError as error:
            if judge_fill(error, reserved=True) is not Answer.DONE:
                raise
            await self._look(place.uri)
        return place.uri

    async def _look(self, uri: ContentURI) -> None:
        """Make sure that a file is there which the homeserver does not take because it has it. Synapse says so, too,
        while an earlier upload is still being stored (and for two minutes after it was killed then): that one may come
        to nothing. Raises as a failed upload does, where it is to be tried again."""
        try:
            async with self._homeserver.open_media(uri, timeout_ms=LOOK_MS):
                return
        except MatrixRequestError as error:
            if isinstance(judge_homeserver(error), Retry):
                raise
            log.debug("a file that is there is not shown to the bridge: %s", error)
