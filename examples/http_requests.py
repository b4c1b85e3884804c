"""Logs every HTTP/1 request with its answer, as the server's own access log would.

    PYTHONPATH=clients/python python3 examples/http_requests.py "port 80"

The argument says which connections; without it, port 80. Requests that are cut by bytes nobody captured are left out,
and the log goes on with the next one.
"""

import sys
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, NamedTuple, Optional, Tuple

from monitor import Monitor, MonitorError

#: A head that is longer is no HTTP.
MAX_HEAD = 64 * 1024
METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE")


class Head(NamedTuple):
    """The first line of a message, and its header fields by lower-case name."""

    line: str
    fields: Dict[str, str]


class Messages:
    """The messages of one direction: takes bytes, gives heads, skips bodies."""

    def __init__(self) -> None:
        self.buffer = b""
        #: Bytes of a body still to come; None: up to the end of the connection.
        self.body: Optional[int] = 0
        self.chunked = False

    def feed(self, data: bytes, bodiless: Deque[bool]) -> Iterator[Head]:
        """`bodiless` says of each message to come whether it has no body, whatever its fields say."""
        self.buffer += data
        while self.buffer:
            if self.body is None:
                self.buffer = b""
            elif self.body > 0:
                skipped = min(self.body, len(self.buffer))
                self.buffer, self.body = self.buffer[skipped:], self.body - skipped
            elif self.chunked:
                size, separator, rest = self.buffer.partition(b"\r\n")
                if not separator:
                    return
                length = int(size.split(b";")[0] or b"0", 16)
                self.buffer, self.body, self.chunked = rest, length + 2, length > 0
            else:
                head, separator, rest = self.buffer.partition(b"\r\n\r\n")
                if not separator:
                    if len(self.buffer) > MAX_HEAD:
                        self.lose()
                    return
                self.buffer = rest
                line, *fields = head.decode("latin-1").split("\r\n")
                pairs = (field.partition(":") for field in fields)
                parsed = Head(line, {name.lower(): value.strip() for name, _, value in pairs})
                self.expect(parsed, bool(bodiless) and bodiless[0])
                yield parsed

    def expect(self, head: Head, bodiless: bool) -> None:
        """What follows this head (RFC 9112, section 6.3)."""
        answer = head.line.startswith("HTTP/")
        status = head.line.split(" ")[1][:3] if answer else ""
        if bodiless or status in ("204", "304") or status.startswith("1"):
            self.body = 0
        elif "chunked" in head.fields.get("transfer-encoding", "").lower():
            self.chunked = True
        elif "content-length" in head.fields:
            self.body = int(head.fields["content-length"])
        else:
            self.body = None if answer else 0

    def is_within(self) -> bool:
        return bool(self.buffer) or self.body != 0 or self.chunked

    def lose(self) -> None:
        """Bytes are missing: whatever was begun is given up, the next segment may begin a message."""
        self.buffer, self.body, self.chunked = b"", 0, False


class Connection:
    """Both directions of one connection, and the requests that wait for their answer."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.sides = {"server": Messages(), "client": Messages()}
        self.waiting: Deque[Tuple[float, Head]] = deque()
        self.bodiless: Deque[bool] = deque()

    def feed(self, side: str, data: bytes, now: float) -> Iterator[str]:
        messages = self.sides[side]
        if side == "server":
            if not messages.is_within() and not any(data[: len(name)] == name[: len(data)] for name in METHODS):
                return
            for request in messages.feed(data, deque()):
                self.waiting.append((now, request))
                self.bodiless.append(request.line.startswith("HEAD "))
            return
        for answer in messages.feed(data, self.bodiless):
            status = (answer.line.split(" ") + ["?"])[1]
            if self.waiting and not status.startswith("1"):
                self.bodiless.popleft()
                yield self.entry(*self.waiting.popleft(), status, now)

    def entry(self, began: float, request: Head, status: str, now: float) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))
        host, agent = request.fields.get("host", "-"), request.fields.get("user-agent", "-")
        return f'{when} {self.client} {host} "{request.line}" {status} {(now - began) * 1000:.1f}ms "{agent}"'


def whole(monitor: Monitor, event: Dict[str, Any]) -> bytes:
    """All bytes of a "data" event: behind a hole that was filled there may be more than come with it."""
    data: bytes = event["data"]
    while len(data) < event["len"]:
        rest = event["len"] - len(data)
        data += monitor.ppeek(event["sockid"], event["side"], event["off"] + len(data), rest).data
    return data


def log(monitor: Monitor, which: str) -> Iterator[str]:
    connections: Dict[int, Connection] = {}
    for event in monitor.subscribe(["opened", "data", "gap", "closed"], filter=which, data=64 * 1024):
        kind, sockid = event["event"], event.get("sockid")
        if kind == "opened":
            connections[sockid] = Connection(event["client"])
        elif kind == "closed":
            connections.pop(sockid, None)
        elif kind == "lost":
            # The queue was full: of everything that is open, something may be missing.
            connections.clear()
        elif kind == "gap" and sockid in connections:
            connections[sockid].sides[event["side"]].lose()
        elif sockid in connections:
            try:
                yield from connections[sockid].feed(event["side"], whole(monitor, event), event["time"])
            except (MonitorError, ValueError, IndexError):
                # Its bytes are gone already, or it is not HTTP after all.
                del connections[sockid]


if __name__ == "__main__":
    with Monitor() as the_monitor:
        for entry in log(the_monitor, sys.argv[1] if len(sys.argv) > 1 else "port 80"):
            print(entry, flush=True)
