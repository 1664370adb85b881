"""
Metadata for readers without C2PA: XMP in every format, and text in a PNG.

Tools recognise AI pictures by IPTC's digital source type (IPTC Photo Metadata Standard 2023.2, "Digital Source Type").
"""

from xml.sax.saxutils import escape

from adloom.credentials.containers import insert_png_text, insert_xmp
from adloom.credentials.origin import SOURCE_TYPES, Origin
from adloom.data.single_picture import PNG, find_media_type

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def add_metadata(picture: bytes, origin: Origin) -> bytes:
    """Return the picture with its source type and origin as XMP, and as text in a PNG. Raises PictureError."""
    facts = origin.describe()
    description = escape("; ".join(f"{name}: {value}" for name, value in facts.items()))
    described = insert_xmp(picture, XMP.format(source_type=SOURCE_TYPES + origin.source_type, description=description))
    if find_media_type(picture) == PNG:
        for name, value in reversed(facts.items()):
            described = insert_png_text(described, f"adloom:{name}", value)
    return described
