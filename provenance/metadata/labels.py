"""Labels in a file's XMP that say how a picture was made: written into a file, and read back.

Two kinds stand in one packet: IPTC's digital source type (with the system that was used, IPTC 2025.1), and
the ``AIGC`` field of GB 45438-2025, as TC260's guide for picture files has it in XMP. Whatever else a
packet says is kept. Labels are not signed by themselves; a credential that is made afterwards covers them.

>>> found = labels_in(labelled_packet(Label("trainedAlgorithmicMedia", aigc=aigc_fields("maker", "1"))))
>>> found.term, found.aigc["ContentProducer"]
('trainedAlgorithmicMedia', 'maker')
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from countermark.core.errors import ProvenanceError
from countermark.provenance.metadata.blocks import read_blocks
from countermark.provenance.source_types import expand, term_of

AIGC_KEYS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
_SPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
}
_TYPE, _SYSTEM, _VERSION = (
    f"Iptc4xmpExt:{each}" for each in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed")
)
_AIGC = "TC260:AIGC"
_END = "</rdf:RDF>"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    f'{_END}\n</x:xmpmeta>\n<?xpacket end="w"?>'
)
_MAX_VALUE = 500


@dataclass(frozen=True)
class Label:
    """What a file says of its own making.

    Attributes:
        term: IPTC's digital source type, as a term; empty when the file gives none.
        system: The generator that was used.
        version: Its version.
        aigc: The fields of a GB 45438 label, all text; empty without one.
    """

    term: str = ""
    system: str = ""
    version: str = ""
    aigc: Mapping[str, str] = field(default_factory=dict)


def aigc_fields(producer: str, identifier: str) -> dict[str, str]:
    """The fields of a label by the service that generated: "1", the picture is generated.

    Args:
        producer: Name or code of the service.
        identifier: The picture's number there.
    """
    given = {"Label": "1", "ContentProducer": producer, "ProduceID": identifier}
    return {key: given.get(key, "") for key in AIGC_KEYS}


def labelled_packet(label: Label, existing: str = "") -> str:
    """An XMP packet with ``label``, which takes the place of labels of the same kinds in ``existing``.

    Raises:
        ProvenanceError: ``label.packet``: what stands there is no XMP packet; ``label.long``.
    """
    packet = existing.strip("\0 ") or _EMPTY
    if packet.count(_END) != 1:
        raise ProvenanceError(
            "The picture's XMP packet is not laid out as XMP is, so no label can be added to it.",
            code="label.packet",
            hint="Take its metadata out first, or sign without a label.",
        )
    values = {
        _TYPE: expand(label.term) if label.term else "",
        _SYSTEM: label.system,
        _VERSION: label.version,
        _AIGC: json.dumps(dict(label.aigc), ensure_ascii=False, separators=(",", ":")) if label.aigc else "",
    }
    if any(len(each) > 4 * _MAX_VALUE for each in values.values()):
        raise ProvenanceError("A label is longer than 2,000 characters.", code="label.long")
    written = {name: _clean(value) for name, value in values.items() if value}
    for name in written:
        packet = _without(packet, name)
    spaces = "".join(
        f" xmlns:{prefix}={quoteattr(uri)}"
        for prefix, uri in _SPACES.items()
        if any(name.startswith(prefix + ":") for name in written)
    )
    body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in written.items())
    return packet.replace(_END, f'<rdf:Description rdf:about=""{spaces}>{body}</rdf:Description>\n{_END}')


def read_label(data: bytes, format: str) -> Label:
    """The labels in an encoded picture's XMP; ``format`` as the image gate names it. Nothing is raised."""
    found = Label()
    for packet in read_blocks(data, format).xmp[:8]:
        here = labels_in(packet)
        found = Label(
            found.term or here.term,
            found.system or here.system,
            found.version or here.version,
            found.aigc or here.aigc,
        )
    return found


def labels_in(packet: str) -> Label:
    """The labels in one XMP packet. It is searched with bounded patterns and never parsed as XML."""
    return Label(
        term_of(_value(packet, _TYPE)) or "",
        _value(packet, _SYSTEM),
        _value(packet, _VERSION),
        _fields(_value(packet, _AIGC)),
    )


def _value(packet: str, name: str) -> str:
    match = re.search(
        rf"<{name}(?:\s[^<>]{{0,200}})?>([^<]{{0,4000}})</{name}>"
        rf"|<{name}\s{{1,8}}rdf:resource\s?=\s?[\"']([^\"'<>]{{0,400}})"
        rf"|\b{name}\s?=\s?(?:\"([^\"]{{0,4000}})\"|'([^']{{0,4000}})')",
        packet,
    )
    text = next((each for each in match.groups() if each is not None), "") if match else ""
    return html.unescape(text).strip()


def _fields(text: str) -> dict[str, str]:
    try:
        content = json.loads(text[:4000]) if text else {}
    except (ValueError, RecursionError):
        return {}
    inner = content.get("AIGC", content) if isinstance(content, dict) else {}
    if not isinstance(inner, dict):
        return {}
    return {str(key)[:60]: str(value)[:_MAX_VALUE] for key, value in list(inner.items())[:16]}


def _without(packet: str, name: str) -> str:
    """A packet without a property, as element or attribute."""
    packet = re.sub(rf"<{name}(?:\s[^<>]{{0,400}})?(?:/>|>[^<]{{0,20000}}</{name}>)", "", packet)
    return re.sub(rf"\s{name}\s?=\s?(?:\"[^\"]{{0,20000}}\"|'[^']{{0,20000}}')", "", packet)


#: What XML 1.0 cannot hold.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _clean(text: str) -> str:
    return _NO_XML.sub("", text)
