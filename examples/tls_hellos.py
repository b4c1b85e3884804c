"""Lists TLS clients as they call: the name they ask for (SNI) and a fingerprint of how they ask (JA3).

    PYTHONPATH=clients/python python3 examples/tls_hellos.py "port 443"

The argument says which connections; without it, all. Reads the first bytes that the server of each connection receives;
what is no TLS is passed over.
"""

import hashlib
import sys
from typing import Iterator, List, NamedTuple, Optional

from monitor import Monitor, MonitorError

#: A ClientHello that is longer than this is passed over.
MAX_HELLO = 64 * 1024
HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, GROUPS, POINT_FORMATS, ALPN = 0, 10, 11, 16


class Hello(NamedTuple):
    """What a client says first."""

    version: int
    ciphers: List[int]
    extensions: List[int]
    groups: List[int]
    point_formats: List[int]
    name: str
    protocols: List[str]

    def ja3(self) -> str:
        """Numbers that clients of one make have in common; those of GREASE (RFC 8701) are drawn anew each time."""
        lists = [self.ciphers, self.extensions, self.groups, self.point_formats]
        kept = ["-".join(str(number) for number in numbers if not grease(number)) for numbers in lists]
        return hashlib.md5(",".join([str(self.version), *kept]).encode()).hexdigest()


def grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


class Bytes:
    """Reads numbers and vectors from the front. IndexError: there is less than was announced."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise IndexError("cut off")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "Bytes":
        return Bytes(self.take(self.number(size)))

    def numbers(self, size: int) -> List[int]:
        found = []
        while self.data:
            found.append(self.number(size))
        return found


def message(stream: bytes) -> Optional[bytes]:
    """The first handshake message, which may be cut into several records; None: there is more to come."""
    records, handshake = Bytes(stream), b""
    while len(records.data) >= 5:
        if records.number(1) != HANDSHAKE:
            raise ValueError("no TLS handshake")
        records.take(2)
        length = records.number(2)
        handshake += records.data[:length]
        records.data = records.data[length:]
        if len(handshake) >= 4 and len(handshake) >= 4 + int.from_bytes(handshake[1:4], "big"):
            return handshake
    if stream and stream[0] != HANDSHAKE:
        raise ValueError("no TLS")
    return None


def parse(handshake: bytes) -> Hello:
    """RFC 8446, section 4.1.2."""
    whole = Bytes(handshake)
    if whole.number(1) != CLIENT_HELLO:
        raise ValueError("no ClientHello")
    body = whole.vector(3)
    version = body.number(2)
    body.take(32)
    body.vector(1)
    hello = Hello(version, body.vector(2).numbers(2), [], [], [], "", [])
    body.vector(1)
    extensions = body.vector(2) if body.data else Bytes(b"")
    while extensions.data:
        kind, content = extensions.number(2), extensions.vector(2)
        hello.extensions.append(kind)
        if kind == SERVER_NAME and content.data:
            names = content.vector(2)
            names.take(1)
            hello = hello._replace(name=names.vector(2).data.decode("ascii", "replace"))
        elif kind == GROUPS:
            hello.groups.extend(content.vector(2).numbers(2))
        elif kind == POINT_FORMATS:
            hello.point_formats.extend(content.vector(1).numbers(1))
        elif kind == ALPN:
            protocols = content.vector(2)
            while protocols.data:
                hello.protocols.append(protocols.vector(1).data.decode("ascii", "replace"))
    return hello


def hellos(monitor: Monitor, which: Optional[str]) -> Iterator[str]:
    pending = {}
    for event in monitor.subscribe(["opened", "data", "closed"], filter=which, side="server"):
        sockid = event.get("sockid")
        if event["event"] == "opened":
            pending[sockid] = event
        elif event["event"] == "closed":
            pending.pop(sockid, None)
        elif event["event"] == "data" and sockid in pending:
            opened = pending[sockid]
            try:
                handshake = message(monitor.ppeek(sockid, "server", 0, MAX_HELLO).data)
                if handshake is None and event["off"] + event["len"] < MAX_HELLO:
                    continue
                hello = parse(handshake or b"")
                asked = f'{hello.name or "-"} {",".join(hello.protocols) or "-"}'
                yield f'{opened["client"]} {opened["server"]} {asked} {hello.ja3()}'
            except (MonitorError, IndexError, ValueError):
                pass
            del pending[sockid]


if __name__ == "__main__":
    with Monitor() as the_monitor:
        for line in hellos(the_monitor, sys.argv[1] if len(sys.argv) > 1 else None):
            print(line, flush=True)
