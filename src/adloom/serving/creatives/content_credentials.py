"""
Provenance of generated pictures in PNG text and XMP.

Tools recognise AI pictures by IPTC's digital source type `trainedAlgorithmicMedia`
(IPTC Photo Metadata Standard 2023.2, "Digital Source Type").
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Literal
from xml.sax.saxutils import escape

SourceType = Literal["trainedAlgorithmicMedia"]
SOURCE_TYPE: SourceType = "trainedAlgorithmicMedia"
HEADER_END = 33  # signature, then IHDR: 4 length + 4 name + 13 data + 4 checksum

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}</Iptc4xmpExt:DigitalSourceType>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def add_provenance(png: bytes, facts: Mapping[str, str]) -> bytes:
    """Return the PNG with its source type and facts (such as model, category, seed) as text after its header."""
    description = "; ".join(f"{name}: {value}" for name, value in facts.items())
    xmp = XMP.format(source_type=SOURCE_TYPE, description=escape(description))
    texts = {"XML:com.adobe.xmp": xmp, **{f"adloom:{name}": value for name, value in facts.items()}}
    chunks = b"".join(_text(keyword, text) for keyword, text in texts.items())
    return png[:HEADER_END] + chunks + png[HEADER_END:]


def _text(keyword: str, text: str) -> bytes:
    """Return an iTXt chunk, uncompressed, no language (PNG specification, 11.3.3.4)."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
