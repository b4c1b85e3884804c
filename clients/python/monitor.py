"""Client for monitord: reads live TCP connections over its Unix socket.

One file, standard library only. Copy it next to your program::

    from monitor import Monitor

    with Monitor() as monitor:
        for socket in monitor.sockets(port=80):
            read = monitor.ppeek(socket["sockid"], "server", 0, 4096)
            print(socket["client"], "->", socket["server"], read.data)

A side is named after the receiver: ``"server"`` holds what the client sent, ``"client"`` what the server sent.
The protocol is described in docs/rpc.md.
"""

from __future__ import annotations

import errno
import json
import socket as _socket
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

__all__ = ["DEFAULT_SOCKET", "Gap", "Monitor", "MonitorError", "NoData", "NoSuchConnection", "Read"]

DEFAULT_SOCKET = "/run/monitord/monitord.sock"

#: "client" or "server"; 0 and 1 are accepted.
Side = Union[str, int]
#: A connection, a reply: a JSON object as docs/rpc.md describes it.
Object = Dict[str, Any]


class MonitorError(Exception):
    """The daemon answered with an error.

    ``code`` is the errno number, or JSON-RPC's code for faults of the protocol (below 0); ``errno`` its name
    ("ENODATA"), ``reason`` tells cases of one errno apart ("gap"), ``data`` is everything that came with it.
    """

    def __init__(self, error: Object) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Object = error.get("data") or {}
        self.errno: Optional[str] = self.data.get("errno")
        self.reason: Optional[str] = self.data.get("reason")


class NoSuchConnection(MonitorError):
    """No such sockid, or its connection is gone (EBADF); or ``lookup`` found none (ENOTCONN)."""


class NoData(MonitorError):
    """No received byte at the offset (ENODATA, or ENOTCONN before the first byte).

    ``reason`` is "evicted", "gap", "future", "eof" or "not_established".
    """

    @property
    def base(self) -> Optional[int]:
        """Lowest retained offset."""
        return self.data.get("base")

    @property
    def next(self) -> Optional[int]:
        """The in-order edge."""
        return self.data.get("next")

    @property
    def end(self) -> Optional[int]:
        """One past the highest byte received."""
        return self.data.get("end")

    @property
    def next_extent(self) -> Optional[int]:
        """Where bytes go on after a hole, if they do."""
        return self.data.get("next_extent")


class Read(NamedTuple):
    """What ``ppeek`` returned. ``eof``: it ends where the sender's FIN is."""

    off: int
    data: bytes
    base: int
    next: int
    end: int
    fin: Optional[int]
    eof: bool


class Gap(NamedTuple):
    """Bytes that ``follow`` could not deliver."""

    off: int
    len: int
    #: "evicted": too late; "gap": never captured.
    reason: str


class Monitor:
    """A connection to the daemon. One request at a time: give each thread its own."""

    def __init__(self, path: str = DEFAULT_SOCKET, timeout: Optional[float] = None) -> None:
        """Connects. ``timeout``: seconds that any answer may take; None: for ever."""
        self._stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._stream.settimeout(timeout)
        try:
            self._stream.connect(path)
        except OSError as error:
            self._stream.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                message = "no daemon serves there: start monitord, or give the path of its socket"
                raise OSError(error.errno, message, path) from error
            raise
        self._input = self._stream.makefile("rb", buffering=64 * 1024)
        self._next_id = 1

    def close(self) -> None:
        """Disconnects."""
        self._input.close()
        self._stream.close()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, **params: Any) -> Object:
        """Calls any method whose reply is one line. Parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": given}
        self._next_id += 1
        self._stream.sendall(json.dumps(request).encode() + b"\n")
        line = self._input.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the daemon closed the connection")
        reply = json.loads(line)
        if "error" in reply:
            raise _error(reply["error"])
        if reply["id"] != request["id"]:
            raise ConnectionError("the reply answers another request")
        return reply["result"]

    def hello(self, client: Optional[str] = None) -> Object:
        """Who serves, and what it can do."""
        return self.call("hello", client=client)

    def sockets(
        self,
        state: Optional[str] = None,
        port: Optional[int] = None,
        address: Optional[str] = None,
        page: int = 1000,
    ) -> Iterator[Object]:
        """Every connection that matches all filters given, asked for in pages."""
        after: Optional[int] = None
        while True:
            answer = self.call("sockets", state=state, port=port, address=address, limit=page, after=after)
            yield from answer["sockets"]
            after = answer["next"]
            if after is None:
                return

    def lookup(self, client: str, server: str, vlan: Optional[List[int]] = None) -> Object:
        """The newest connection between two ends, each "10.0.0.1:80" or "[2001:db8::1]:80"."""
        return self.call("lookup", client=client, server=server, vlan=vlan)

    def info(self, sockid: int) -> Object:
        """One connection."""
        return self.call("info", sockid=sockid)

    def fragments(self, sockid: int, side: Side) -> List[Tuple[int, int]]:
        """Offset and length of every retained run of bytes, in order."""
        return [(off, length) for off, length in self.call("fragments", sockid=sockid, side=side)["extents"]]

    def ppeek(self, sockid: int, side: Side, off: int, len: int) -> Read:
        """Bytes from ``off`` on, up to ``len``, stopping at a hole: fewer than asked is normal.

        Raises NoData when there is no byte at ``off``.
        """
        head = self.call("ppeek", sockid=sockid, side=side, off=off, len=len, encoding="raw")
        data = self._input.read(head["raw"])
        if head["raw"] != _length(data):
            raise ConnectionError("the daemon closed the connection")
        return Read(head["off"], data, head["base"], head["next"], head["end"], head["fin"], head["eof"])

    def follow(
        self, sockid: int, side: Side, off: int = 0, chunk: int = 256 * 1024, pause: float = 0.05
    ) -> Iterator[Union[Read, Gap]]:
        """Every byte of a side from ``off`` on, as it comes, until the stream or the connection is over.

        What is missing comes as a Gap, in its place: nothing is skipped silently.
        """
        while True:
            # Asked before reading: bytes that came before the end are read before it is believed.
            closed = self.info(sockid)["closed"] is not None
            try:
                read = self.ppeek(sockid, side, off, chunk)
            except NoData as error:
                gap = _gap(error, off, closed)
                if gap is not None:
                    off += gap.len
                    yield gap
                elif closed or error.reason == "eof":
                    return
                else:
                    time.sleep(pause)
                continue
            off += _length(read.data)
            yield read
            if read.eof:
                return

    def stats(self) -> Object:
        """Every counter, in groups."""
        return self.call("stats")


def _gap(error: NoData, off: int, closed: bool) -> Optional[Gap]:
    """The hole at ``off``, once it is sure that it stays one and where it ends."""
    if error.reason == "evicted" and error.base is not None:
        return Gap(off, error.base - off, "evicted")
    declared_lost = error.next is not None and error.next > off
    if error.reason == "gap" and error.next_extent is not None and (declared_lost or closed):
        return Gap(off, error.next_extent - off, "gap")
    return None


def _error(error: Object) -> MonitorError:
    reason = (error.get("data") or {}).get("reason")
    if error["code"] == errno.EBADF or reason == "not_found":
        return NoSuchConnection(error)
    if error["code"] in (errno.ENODATA, errno.ENOTCONN):
        return NoData(error)
    return MonitorError(error)


#: `len` is a parameter of ppeek, by the name it has on the wire.
_length = len
