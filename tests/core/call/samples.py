"""Descriptions as browsers write them, shortened in codecs only."""

from __future__ import annotations

from bridgekit.model.calls import Candidate

HEAD = ("v=0", "o=- 4962303333179871722 2 IN IP4 127.0.0.1", "s=-", "t=0 0")
AUDIO_CODECS = (
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=ssrc:1001 cname:x",
)
VIDEO_CODECS = ("a=rtcp-mux", "a=rtcp-rsize", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack pli", "a=ssrc:2002 cname:x")
PRINT = "a=fingerprint:sha-256 " + ":".join(f"{n * 7 % 256:02X}" for n in range(32))


def crlf(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def section(
    kind: str,
    mid: int,
    *,
    ufrag: str = "EsAw",
    direction: str = "sendrecv",
    msid: str | None = "stream1",
    trickle: bool = True,
    candidates: tuple[str, ...] = (),
    end: bool = False,
) -> tuple[str, ...]:
    codec, codecs = ("111", AUDIO_CODECS) if kind == "audio" else ("96", VIDEO_CODECS)
    return (
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {codec}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        *(f"a={one}" for one in candidates),
        *(("a=end-of-candidates",) if end else ()),
        f"a=ice-ufrag:{ufrag}",
        "a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y",
        *(("a=ice-options:trickle",) if trickle else ()),
        PRINT,
        "a=setup:actpass",
        f"a=mid:{mid}",
        f"a={direction}",
        *(() if msid is None else (f"a=msid:{msid} {kind}{mid}",)),
        *codecs,
    )


def host(port: int = 50000, ip: str = "192.168.1.7", *, ufrag: str | None = "EsAw", kind: str = "host") -> str:
    more = "" if kind == "host" else " raddr 0.0.0.0 rport 0"
    tail = "" if ufrag is None else f" ufrag {ufrag} network-id 1"
    return f"candidate:{port} 1 udp 2113937151 {ip} {port} typ {kind}{more} generation 0{tail}"


TCP = "candidate:7 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active generation 0 ufrag EsAw network-id 1"
MDNS = "candidate:8 1 udp 2113937151 6a1b4cb2-52b1-4d5e.local 50001 typ host generation 0 ufrag EsAw network-id 1"
IPV6 = "candidate:9 1 udp 2113939711 2001:db8::7 50002 typ host generation 0 ufrag EsAw network-id 1"


def description(*sections: tuple[str, ...]) -> str:
    mids = " ".join(str(number) for number in range(len(sections)))
    head = (*HEAD, f"a=group:BUNDLE {mids}", "a=extmap-allow-mixed", "a=msid-semantic: WMS stream1")
    return crlf(*head, *(line for one in sections for line in one))


def bare(ufrag: str = "EsAw", *, video: bool = False, direction: str = "sendrecv", msid: str | None = "stream1") -> str:
    """As a browser offers before it has looked for candidates."""
    kinds = ("audio", "video") if video else ("audio",)
    return description(
        *(section(kind, mid, ufrag=ufrag, direction=direction, msid=msid) for mid, kind in enumerate(kinds))
    )


def full(ufrag: str = "EsAw", *, video: bool = False, direction: str = "sendrecv", msid: str | None = "stream1") -> str:
    """As a page sends it that waits for all candidates."""
    kinds = ("audio", "video") if video else ("audio",)
    return description(
        *(
            section(
                kind,
                mid,
                ufrag=ufrag,
                direction=direction,
                msid=msid,
                trickle=False,
                candidates=(host(ufrag=ufrag),) if mid == 0 else (),
                end=mid == 0,
            )
            for mid, kind in enumerate(kinds)
        )
    )


def found(line: str, mid: str | None = "0", index: int | None = 0, ufrag: str | None = "EsAw") -> Candidate:
    return Candidate(line, mid, index, ufrag)
