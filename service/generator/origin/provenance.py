"""What made a picture, inside its file: as XMP, in the place that PNG, WebP, JPEG, GIF and AVIF each have for it.

Any reader of XMP sees that the picture was made by a trained model (IPTC's DigitalSourceType), and which image of which
model it is; `ganserve verify` draws it again by that. The same image has the same bytes: nothing here has a date.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"'
    ' xmlns:ganserve="urn:ganserve:picture:1"{}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_PNG, _PNG_HEAD_BYTES = b"\x89PNG\r\n\x1a\n", 33
_JPEG, _JFIF, _JPEG_XMP = b"\xff\xd8", b"\xff\xe0", b"http://ns.adobe.com/xap/1.0/\0"
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10  # of VP8X
_GIF, _GIF_XMP = b"GIF89a", b"\x21\xff\x0bXMP DataXMP"
# A reader of GIF takes each byte of XMP for the length of a block; wherever it ends up in here, it finds the end.
_GIF_END = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
MOST_FACT = 32_768
"""Characters of what draws a picture again: JPEG has 64 kB for all. What is longer is left out, and nothing draws it then."""


class Maker(NamedTuple):
    """Of every picture of a model that is loaded."""

    model: str
    version: str
    engine: str
    precision: str


class Told(NamedTuple):
    """What draws a picture again: seeds, labels and truncation; or a request to a route, where these do not say all.

    seeds: consecutive. labels: one an image; None for an unconditional model. size: as WIDTHxHEIGHT, of each image; empty:
    the generator's own. quality: of a format that has one.
    """

    seeds: Sequence[int] | None = None
    labels: Sequence[int] | None = None
    truncation: float = 1.0
    route: str = ""
    request: Mapping[str, Any] | None = None
    size: str = ""
    quality: int | None = None


def packet(maker: Maker, told: Told) -> bytes:
    """The XMP of one image, or of a grid, a row or an animation of several."""
    facts = {"model": maker.model, "version": maker.version, "engine": f"{maker.engine}/{maker.precision}"}
    if told.request is not None:
        again = {"route": told.route, "request": json.dumps(told.request, separators=(",", ":"))}
    else:
        again = {"truncation": repr(float(told.truncation))}
        if (seeds := told.seeds) is not None:
            again["seeds"] = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        if (labels := told.labels) is not None:
            again["labels"] = ",".join(map(str, labels[:1] if len(set(labels)) == 1 else labels))
    escaped = {name: escape(value, {'"': "&quot;"}) for name, value in again.items()}
    if all(len(value) <= MOST_FACT for value in escaped.values()):
        facts |= escaped
        facts |= {"size": told.size} if told.size else {}
        facts |= {} if told.quality is None else {"quality": f"{told.quality}"}
    return _PACKET.format("".join(f' ganserve:{name}="{value}"' for name, value in facts.items())).encode()


def packets(
    maker: Maker, seeds: Sequence[int], labels: Sequence[int] | None, truncation: float
) -> Iterator[bytes]:
    """The XMP of each of these images alone: as `packet`, five times as fast."""
    halves: dict[int | None, tuple[bytes, bytes]] = {}
    for seed, label in zip(seeds, repeat(None) if labels is None else labels, strict=False):
        if label not in halves:
            one = packet(maker, Told((0,), None if label is None else (label,), truncation))
            before, _, after = one.partition(b'ganserve:seeds="0"')
            halves[label] = before, after
        before, after = halves[label]
        yield b'%bganserve:seeds="%d"%b' % (before, seed, after)


def embed(picture: bytes, xmp: bytes) -> bytes:
    """The same picture with `xmp` in it; as it was, where it is none of PNG, WebP, JPEG and GIF.

    Into an AVIF its encoder puts it, since all that an AVIF holds is found by its distance from the beginning.
    """
    if picture.startswith(_PNG):
        named = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp
        chunk = b"".join((struct.pack(">I", len(named) - 4), named, struct.pack(">I", zlib.crc32(named))))
        return picture[:_PNG_HEAD_BYTES] + chunk + picture[_PNG_HEAD_BYTES:]
    if picture.startswith(_JPEG):
        begin = 2
        if picture.startswith(_JFIF, begin):  # which is to come first
            begin += 2 + int.from_bytes(picture[4:6])
        segment = b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG_XMP) + len(xmp)) + _JPEG_XMP + xmp
        return picture[:begin] + segment + picture[begin:]
    if picture.startswith(b"RIFF") and picture[8:16] == b"WEBPVP8L":
        return _webp(picture, xmp)
    if picture.startswith(_GIF):
        begin = 13 + (3 << (picture[10] & 7) + 1) * (
            picture[10] >> 7
        )  # behind the colours that all frames share
        return b"".join((picture[:begin], _GIF_XMP, xmp, _GIF_END, picture[begin:]))
    return picture


def _webp(picture: bytes, xmp: bytes) -> bytes:
    """picture: a lossless WebP without metadata, as images.webp makes it."""
    bits = int.from_bytes(picture[21:25], "little")  # after a signature of one byte
    sides = bits & 0x3FFF, bits >> 14 & 0x3FFF  # each less 1, in 14 bits
    flags = _HAS_XMP | (_HAS_ALPHA if bits >> 28 & 1 else 0)
    extended = struct.pack("<B3x", flags) + b"".join(side.to_bytes(3, "little") for side in sides)
    chunks = b"".join((_riff(b"VP8X", extended), picture[12:], _riff(b"XMP ", xmp)))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
