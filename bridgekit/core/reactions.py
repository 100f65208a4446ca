"""Reactions: which emoji are the same, how Matrix writes them, and which of them a network takes."""

from __future__ import annotations

from bridgekit.model.limits import Limits

MAX_KEY_BYTES = 1024
"""Longer reactions are none."""

_EMOJI_STYLE, _TEXT_STYLE, _JOINER, _KEYCAP = "\ufe0f", "\ufe0e", "\u200d", "\u20e3"
_KEYCAP_BASES = frozenset("#*0123456789")


def _code_points(ranges: str) -> frozenset[str]:
    """The characters of a list such as ``a9 2194-2199``, in hexadecimal."""
    found: set[str] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return frozenset(found)


# Unicode 17, emoji-variation-sequences.txt: what U+FE0F may follow. The tests compare it with a copy of that file.
_TEXT_BY_DEFAULT = _code_points("""
    a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 2328 23cf 23ed-23ef 23f1-23f2 23f8-23fa 24c2 25aa-25ab 25b6
    25c0 25fb-25fc 2600-2604 260e 2611 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642
    265f-2660 2663 2665-2666 2668 267b 267e 2692 2694-2697 2699 269b-269c 26a0 26a7 26b0-26b1 26c8 26cf 26d1
    26d3 26e9 26f0-26f1 26f4 26f7-26f9 2702 2708-2709 270c-270d 270f 2712 2714 2716 271d 2721 2733-2734 2744
    2747 2763-2764 27a1 2934-2935 2b05-2b07 3030 303d 3297 3299 1f170-1f171 1f17e-1f17f 1f202 1f237 1f321
    1f324-1f32c 1f336 1f37d 1f396-1f397 1f399-1f39b 1f39e-1f39f 1f3cb-1f3ce 1f3d4-1f3df 1f3f3 1f3f5 1f3f7 1f43f
    1f441 1f4fd 1f549-1f54a 1f56f-1f570 1f573-1f579 1f587 1f58a-1f58d 1f590 1f5a5 1f5a8 1f5b1-1f5b2 1f5bc
    1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa 1f6cb 1f6cd-1f6cf 1f6e0-1f6e5 1f6e9
    1f6f0 1f6f3
""")
"""Those that are shown as text without it (Emoji_Presentation=No)."""

_EMOJI_BY_DEFAULT = _code_points("""
    231a-231b 23e9-23ec 23f0 23f3 25fd-25fe 2614-2615 2648-2653 267f 2693 26a1 26aa-26ab 26bd-26be 26c4-26c5
    26ce 26d4 26ea 26f2-26f3 26f5 26fa 26fd 2705 270a-270b 2728 274c 274e 2753-2755 2757 2795-2797 27b0 27bf
    2b1b-2b1c 2b50 2b55 1f004 1f21a 1f22f 1f30d-1f30f 1f315 1f31c 1f378 1f393 1f3a7 1f3ac-1f3ae 1f3c2 1f3c4
    1f3c6 1f3ca 1f3e0 1f3ed 1f408 1f415 1f41f 1f426 1f442 1f446-1f449 1f44d-1f44e 1f453 1f46a 1f47d 1f4a3 1f4b0
    1f4b3 1f4bb 1f4bf 1f4cb 1f4da 1f4df 1f4e4-1f4e6 1f4ea-1f4ed 1f4f7 1f4f9-1f4fb 1f508 1f50d 1f512-1f513
    1f550-1f567 1f610 1f687 1f68d 1f691 1f694 1f698 1f6ad 1f6b2 1f6b9-1f6ba 1f6bc
""")


def bare(emoji: str) -> str:
    """The emoji without variation selectors: what two ways of writing one have in common."""
    return emoji.replace(_EMOJI_STYLE, "").replace(_TEXT_STYLE, "")


def same_emoji(a: str, b: str) -> bool:
    """Whether two reactions are the same one; variation selectors make no difference, everything else does."""
    return a == b or bare(a) == bare(b) != ""


def to_matrix_key(emoji: str, emoji_id: str = "") -> str:
    """The key of an ``m.reaction``. `emoji`, `emoji_id`: as in `RemoteReaction`.

    Spec, m.reaction: "If this is an emoji, it should include the unicode emoji presentation selector (\\uFE0F) for
    codepoints which allow it". In sequences (with a joiner or a skin tone) it stands where it does in Unicode's
    fully-qualified ones, as clients send them. A picture that only the network has is its ``:name:``.
    """
    if emoji_id:
        return f":{emoji.strip(':') or emoji_id}:"
    return _with_selectors(emoji, everywhere=True)


def for_network(key: str, limits: Limits) -> str | None:
    """The emoji to react with on the network; None if it takes no such reaction.

    Where the network takes any (`Limits.reactions` is None), an emoji comes back fully qualified, words and ``:name:``
    as they are; a picture on Matrix (an ``mxc://`` URI, MSC4027) is none of its. Otherwise one of `Limits.reactions`,
    written as it is there.
    """
    if not key.strip() or key.startswith("mxc://") or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        return None
    if limits.reactions is None:
        return _with_selectors(key, everywhere=False)
    if key in limits.reactions:
        return key
    return next((emoji for emoji in sorted(limits.reactions) if same_emoji(emoji, key)), None)


def _with_selectors(emoji: str, *, everywhere: bool) -> str:
    """The emoji with U+FE0F where it belongs; `everywhere`: also after single emoji that are shown as such without it.
    What is more than emoji stays as it is."""
    plain = bare(emoji)
    if not _is_emoji(plain):
        return emoji
    single = everywhere and _JOINER not in plain
    out = []
    for index, char in enumerate(plain):
        out.append(char)
        after = plain[index + 1 : index + 2]
        if "\U0001f3fb" <= after <= "\U0001f3ff":
            continue  # a skin tone makes it an emoji by itself
        keycap = char in _KEYCAP_BASES and after == _KEYCAP
        if keycap or char in _TEXT_BY_DEFAULT or (single and char in _EMOJI_BY_DEFAULT):
            out.append(_EMOJI_STYLE)
    return "".join(out)


def _is_emoji(plain: str) -> bool:
    """Whether this is emoji and nothing else, as far as it matters: in "© 2024" and ":heart:" nothing changes."""
    for index, char in enumerate(plain):
        if char in _TEXT_BY_DEFAULT or (char in _KEYCAP_BASES and plain[index + 1 : index + 2] == _KEYCAP):
            continue
        if char.isascii() or char.isalnum() or char.isspace():
            return False
    return bool(plain)
