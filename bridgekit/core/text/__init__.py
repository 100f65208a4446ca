"""Text and its spans: offsets, the normal form, cutting, splitting, and writing formatting out as plain text."""

from bridgekit.core.text.downgrade import downgrade
from bridgekit.core.text.normalise import normalise
from bridgekit.core.text.offsets import Utf16Offsets, from_utf16, utf16_offset
from bridgekit.core.text.split import MIN_LENGTH, LengthUnit, slice_text, split_text

__all__ = [
    "LengthUnit",
    "MIN_LENGTH",
    "Utf16Offsets",
    "downgrade",
    "from_utf16",
    "normalise",
    "slice_text",
    "split_text",
    "utf16_offset",
]
