"""Client for monitord: reads live TCP connections over its Unix socket.

One file, standard library only. Copy it next to your program::

    from monitor import Monitor

    with Monitor() as monitor:
        for socket in monitor.sockets(port=80):
            read = monitor.ppeek(socket["sockid"], "server", 0, 4096)
            print(socket["client"], "->", socket["server"], read.data)

        for event in monitor.subscribe(filter="port 80", events=["opened", "closed"]):
            print(event["event"], event["sockid"])

A side is named after the receiver: ``"server"`` holds what the client sent, ``"client"`` what the server sent.
The protocol is described in docs/rpc.md.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import json
import os
import socket as _socket
import struct
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type, Union

__all__ = [
    "DEFAULT_SOCKET",
    "Events",
    "Monitor",
    "MonitorError",
    "NoData",
    "NoSuchConnection",
    "NotAllowed",
    "Peek",
    "Read",
    "TimedOut",
    "packets",
]

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

    def continues_at(self, off: int) -> Optional[int]:
        """Offset after the lost bytes at ``off``, if they are lost; None: they may still come, or the stream ends."""
        if self.reason == "evicted":
            to = self.base
        elif self.reason == "gap" and self.next is not None:
            # Only the part below the in-order edge was declared lost.
            extent = self.next_extent
            to = min(extent, self.next) if extent is not None and extent > off else self.next
        else:
            return None
        return to if to is not None and to > off else None


class TimedOut(MonitorError):
    """What was waited for did not come in time (ETIMEDOUT)."""


class NotAllowed(MonitorError):
    """The daemon does not let this user do that (EPERM)."""


class Read(NamedTuple):
    """What ``ppeek`` returned. ``eof``: it ends where the sender's FIN is."""

    off: int
    data: bytes
    base: int
    next: int
    end: int
    fin: Optional[int]
    eof: bool


class Peek(NamedTuple):
    """What ``peek`` returned: the bytes from ``off`` on, and what is missing before them."""

    off: int
    data: bytes
    #: Bytes that were evicted before they were read.
    lost: int
    #: The hole, declared lost, that was passed: offset and length.
    gap: Optional[Tuple[int, int]]
    base: int
    next: int
    end: int
    fin: Optional[int]
    eof: bool


class Monitor:
    """A connection to the daemon. One request at a time: give each thread its own."""

    def __init__(
        self, path: Optional[str] = None, timeout: Optional[float] = None, attach: Optional[bool] = None
    ) -> None:
        """Connects.

        ``path``: the daemon's socket; without it, where the variable MONITOR_SOCKET says, else DEFAULT_SOCKET.
        ``timeout``: seconds that any answer may take; None: no limit. An answer that comes too late raises
        TimeoutError and ends the connection: make another Monitor.
        ``attach``: ``ppeek`` reads the daemon's memory, through libmonitor_mos.so, and the rest stays on the socket.
        None: from the first ``ppeek`` on, if the library is there and the daemon allows it; True: OSError if not; False: never.
        """
        path = path or os.environ.get("MONITOR_SOCKET") or DEFAULT_SOCKET
        self._path = path
        self._timeout = timeout
        self._wire = _Wire(path, timeout)
        self._store: Optional[_Store] = None
        #: The first ``ppeek`` tries to attach.
        self._may_attach = attach is None
        if attach:
            try:
                self._store = _Store(path, timeout)
            except OSError:
                self._wire.close()
                raise
        #: Position of ``peek`` on each side that it reads.
        self._cursors: Dict[Tuple[int, Side], int] = {}

    def close(self) -> None:
        """Disconnects."""
        self._wire.close()
        if self._store:
            self._store.close()
            self._store = None

    @property
    def attached(self) -> bool:
        """Whether ``ppeek`` reads the daemon's memory."""
        return self._store is not None

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, **params: Any) -> Object:
        """Calls any method whose reply is one line. Parameters that are None are left out."""
        return self._wire.call(method, params)

    def hello(self, client: Optional[str] = None) -> Object:
        """Who serves, and what it can do."""
        return self.call("hello", client=client)

    def sockets(
        self,
        state: Optional[str] = None,
        port: Optional[int] = None,
        address: Optional[str] = None,
        page: int = 1000,
        **more: Any,
    ) -> Iterator[Object]:
        """Every connection that matches all filters given (docs/rpc.md lists ``more`` of them), asked for in pages.

        With ``sort`` and ``limit``: those that come first in that order.
        """
        if "sort" in more or "limit" in more:
            yield from self.call("sockets", state=state, port=port, address=address, **more)["sockets"]
            return
        after: Optional[int] = None
        while True:
            answer = self.call(
                "sockets", state=state, port=port, address=address, limit=page, after=after, **more
            )
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

    def turns(
        self, sockid: int, start: Optional[Object] = None, page: int = 1000
    ) -> Iterator[Object]:
        """The bytes of both sides in the order of the conversation: "side", "off", "len" and "time" of each turn.

        ``start``: offsets {"client": ..., "server": ...} to begin at; by default the lowest retained ones.
        """
        while True:
            answer = self.call("turns", **{"sockid": sockid, "from": start, "limit": page})
            yield from answer["turns"]
            start = answer["next"]
            if not answer["turns"]:
                return

    def ppeek(self, sockid: int, side: Side, off: int, len: int) -> Read:
        """Bytes from ``off`` on, up to ``len``, stopping at a hole: fewer than asked is normal.

        Raises NoData when there is no byte at ``off``.
        """
        if self._may_attach:
            self._may_attach = False
            try:
                self._store = _Store(self._path, self._timeout)
            except OSError:
                pass
        read = self._store.read(sockid, side, off, len) if self._store else None
        if read:
            return read
        # The daemon knows why there are no bytes.
        params = {"sockid": sockid, "side": side, "off": off, "len": len, "encoding": "raw"}
        head, data = self._wire.read("ppeek", params)
        return Read(head["off"], data, head["base"], head["next"], head["end"], head["fin"], head["eof"])

    def peek(self, sockid: int, side: Side, len: int) -> Peek:
        """The next bytes in order: each call continues where the previous one ended, the first starts at 0.

        The cursor belongs to this object. Bytes that are lost are skipped and reported. Raises NoData if there is
        neither a byte nor a range to skip: not yet (``reason`` "future" or "gap"), or at the end ("eof").
        """
        key = (sockid, ("client", "server")[side] if side in (0, 1) else side)
        start = at = self._cursors.get(key, 0)
        lost, gap, count = 0, None, len
        while True:
            try:
                read = self.ppeek(sockid, side, at, count)
            except NoData as error:
                to = error.continues_at(at)
                if to is None:
                    if at == start:
                        raise
                    # No byte, but ranges to report: an empty read returns the offsets.
                    count = 0
                elif error.reason == "evicted":
                    # A hole that was skipped before was evicted as well.
                    lost, gap, at = to - start, None, to
                else:
                    # The edge may have advanced over more of the same hole.
                    hole = gap[0] if gap else at
                    gap, at = (hole, to - hole), to
            except NoSuchConnection:
                self._cursors.pop(key, None)
                raise
            else:
                self._cursors[key] = read.off + memoryview(read.data).nbytes
                return Peek(at, read.data, lost, gap, *read[2:])

    def wait(self, sockid: int, side: Side, off: int, timeout: float = 30) -> Object:
        """Returns once there is a byte at ``off``. Raises TimedOut after ``timeout`` seconds, NoData if none can come."""
        patience = self._timeout and self._timeout + timeout
        params = {"sockid": sockid, "side": side, "off": off, "timeout": timeout}
        return self._wire.call("wait", params, patience)

    def subscribe(
        self,
        events: Optional[List[str]] = None,
        filter: Optional[str] = None,
        sockid: Optional[int] = None,
        side: Optional[Side] = None,
        data: Optional[int] = None,
        queue: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> "Events":
        """What happens from now on. ``data``: most bytes that come with each "data" event."""
        params = {"events": events, "filter": filter, "sockid": sockid, "side": side, "queue": queue}
        if data is not None:
            params.update(data={"max": data}, encoding="raw")
        return Events(self._path, "subscribe", params, timeout)

    def follow(
        self, sockid: int, side: Optional[Side] = None, off: Optional[int] = None, timeout: Optional[float] = None
    ) -> "Events":
        """Every byte of a side, or of both, from ``off`` on, as it comes, until the stream is over.

        What is missing comes as a "gap" or "lost" event, in its place: nothing is skipped silently.
        """
        params = {"sockid": sockid, "side": side, "off": off, "encoding": "raw"}
        return Events(self._path, "follow", params, timeout, ends=2 if side is None else 1)

    def watch(
        self,
        patterns: List[Union[str, Object]],
        side: Optional[Side] = None,
        filter: Optional[str] = None,
        sockid: Optional[int] = None,
        context: Optional[int] = None,
        queue: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> "Events":
        """Every "match" of the patterns in the streams, across segments."""
        params = {"patterns": patterns, "side": side, "filter": filter, "sockid": sockid}
        return Events(self._path, "watch", {**params, "context": context, "queue": queue}, timeout)

    def capture(
        self, filter: Optional[str] = None, snaplen: Optional[int] = None, timeout: Optional[float] = None
    ) -> "Events":
        """Packets as they were captured, as "packets" events; ``packets`` takes their ``data`` apart."""
        return Events(self._path, "capture", {"filter": filter, "snaplen": snaplen}, timeout)

    def stop(self, sockid: int, side: Optional[Side] = None) -> Object:
        """Stops monitoring a connection, or storing one side of it."""
        return self.call("stop", sockid=sockid, side=side)

    def configure(self, sockid: Optional[int] = None, **settings: Any) -> Object:
        """Changes how a connection is monitored, or (without ``sockid``, with ``filter`` or ``rule``) later ones."""
        return self.call("configure", sockid=sockid, **settings)

    def config_get(self) -> Object:
        """The daemon's settings."""
        return self.call("config.get")

    def config_test(self, text: Optional[str] = None, file: Optional[str] = None) -> Object:
        """Whether settings are valid, and what they would change."""
        return self.call("config.test", text=text, file=file)

    def config_reload(self) -> Object:
        """Has the daemon read its settings again."""
        return self.call("config.reload")

    def discover(self) -> Object:
        """The protocol as an OpenRPC document."""
        return self.call("rpc.discover")

    def stats(self) -> Object:
        """Every counter, in groups."""
        return self.call("stats")


class Events(Iterator[Object]):
    """What a listener tells, event by event, each an object as docs/rpc.md describes it; ``data`` are bytes.

    It has a connection of its own: answers never wait behind events, and a program that is slow leaves them in the
    daemon's queue, which is bounded. It ends with ``close()``, or with the streams that it follows. TimeoutError: there
    was nothing for ``timeout`` seconds; it goes on all the same.
    """

    def __init__(self, path: str, method: str, params: Object, timeout: Optional[float], ends: int = -1) -> None:
        """Begins to listen. ``ends``: how many "end" events there will be."""
        self._ends = ends
        self._wire = _Wire(path, timeout)
        try:
            #: What the daemon answered; ``listener["sockid"]`` names the listener.
            self.listener: Object = self._wire.call(method, params)
        except BaseException:
            self._wire.close()
            raise

    def close(self) -> None:
        """Ends it."""
        self._wire.close()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> Object:
        if self._ends == 0 or self._wire.is_closed():
            self.close()
            raise StopIteration
        event = self._wire.event()
        if event["event"] == "end":
            self._ends -= 1
        return event


def packets(data: bytes) -> Iterator[Tuple[float, int, bytes]]:
    """Time, length and captured bytes of each packet of a "packets" event."""
    at = 0
    while at < len(data):
        time, captured, length = struct.unpack_from("<QII", data, at)
        at += 16
        yield time / 1e9, length, data[at : at + captured]
        at += captured


class _Offsets(ctypes.Structure):
    """struct monitor_read of mos_api.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("base", "next", "end", "fin")]


class _Store:
    """The daemon's memory, mapped by the C library."""

    _SIDES = {"client": 0, "server": 1, 0: 0, 1: 1}
    #: Longest read; the daemon's is as long.
    _MOST = 16 << 20
    #: Numbers of the RPC are below it.
    _NUMBERS = 1 << 53

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        """Attaches. OSError: there is no library, or the daemon refuses."""
        self._library = ctypes.CDLL("libmonitor_mos.so", use_errno=True)
        self._ppeek = self._library.monitor_store_ppeek
        self._ppeek.restype = ctypes.c_ssize_t
        number, size, pointer = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
        self._ppeek.argtypes = [ctypes.c_int, number, ctypes.c_int, pointer, size, number, pointer]
        self._offsets = _Offsets()
        self._buffer = ctypes.create_string_buffer(4096)
        patience = -1 if timeout is None else max(1, int(timeout * 1000))
        self._number = self._library.monitor_attach(os.fsencode(path), patience)
        if self._number < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"cannot attach to the store: {os.strerror(code)}", path)

    def close(self) -> None:
        self._library.monitor_detach(self._number)

    def read(self, sockid: int, side: Side, off: int, count: int) -> Optional[Read]:
        """Bytes from ``off`` on. None: the daemon has to be asked."""
        numbers = all(isinstance(value, int) and 0 <= value < self._NUMBERS for value in (sockid, off, count))
        if side not in self._SIDES or not numbers:
            return None
        count = min(count, self._MOST)
        if count > len(self._buffer):
            self._buffer = ctypes.create_string_buffer(count)
        offsets = self._offsets
        got = self._ppeek(
            self._number, sockid, self._SIDES[side], self._buffer, count, off, ctypes.byref(offsets)
        )
        if got < 0:
            return None
        fin = None if offsets.fin == (1 << 64) - 1 else offsets.fin
        data = ctypes.string_at(self._buffer, got)
        return Read(off, data, offsets.base, offsets.next, offsets.end, fin, off + got == fin)


class _Wire:
    """Lines, and raw bytes after them. What came in part before a time-out is kept."""

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        self._stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._stream.settimeout(timeout)
        self._next_id = 1
        self._input = bytearray()
        #: An event whose bytes are still to come.
        self._head: Optional[Object] = None
        #: Events that came before the answer that was waited for.
        self._early: List[Object] = []
        try:
            self._stream.connect(path)
        except OSError as error:
            self._stream.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                message = "no daemon serves there: start monitord, or give the path of its socket"
                raise OSError(error.errno, message, path) from error
            raise

    def close(self) -> None:
        self._stream.close()

    def is_closed(self) -> bool:
        return self._stream.fileno() < 0

    def call(self, method: str, params: Object, patience: Optional[float] = None) -> Object:
        if self.is_closed():
            raise ConnectionError("this connection was closed, by close() or after an error; make another Monitor")
        given = {name: value for name, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": given}
        self._next_id += 1
        usual = self._stream.gettimeout()
        self._stream.settimeout(usual if patience is None else patience)
        try:
            self._stream.sendall(json.dumps(request).encode() + b"\n")
            reply = self._line()
            while reply.get("method") == "event":
                self._early.append(self._bytes_of(reply["params"]))
                reply = self._line()
        except BaseException:
            # The answer is still to come, and would be taken for the next one's.
            self.close()
            raise
        self._stream.settimeout(usual)
        if "error" in reply:
            raise _error(reply["error"])
        if reply["id"] != request["id"]:
            raise ConnectionError("the reply answers another request")
        return reply["result"]

    def read(self, method: str, params: Object) -> Tuple[Object, bytes]:
        """Calls a method whose reply is a line and raw bytes."""
        head = self.call(method, params)
        try:
            return head, self.exactly(head["raw"])
        except BaseException:
            # Captured bytes that are still to come would be taken for the next reply.
            self.close()
            raise

    def event(self) -> Object:
        if self._early:
            return self._early.pop(0)
        if self._head is None:
            self._head = self._line()["params"]
        event, self._head = self._bytes_of(self._head), None
        return event

    def _bytes_of(self, event: Object) -> Object:
        if "raw" in event:
            data = self.exactly(event["raw"])
            event = {**event, "data": data}
            del event["raw"]
        elif isinstance(event.get("data"), str):
            event["data"] = base64.b64decode(event["data"])
        if isinstance(event.get("context"), dict) and "data" in event["context"]:
            event["context"]["data"] = base64.b64decode(event["context"]["data"])
        return event

    def _line(self) -> Object:
        start = 0
        while True:
            end = self._input.find(b"\n", start)
            if end >= 0:
                return json.loads(self._take(end + 1))
            start = len(self._input)
            self._receive(64 * 1024)

    def exactly(self, count: int) -> bytes:
        while len(self._input) < count:
            # A Unix socket hands out less at a time anyway.
            self._receive(min(1 << 20, max(64 * 1024, count - len(self._input))))
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._input)[:count])
        del self._input[:count]
        return taken

    def _receive(self, most: int) -> None:
        received = self._stream.recv(most)
        if not received:
            raise ConnectionError("the daemon closed the connection")
        self._input += received


def _error(error: Object) -> MonitorError:
    reason = (error.get("data") or {}).get("reason")
    kinds: Dict[int, Type[MonitorError]] = {
        errno.EBADF: NoSuchConnection,
        errno.ENODATA: NoData,
        errno.ENOTCONN: NoSuchConnection if reason == "not_found" else NoData,
        errno.ETIMEDOUT: TimedOut,
        errno.EPERM: NotAllowed,
    }
    return kinds.get(error["code"], MonitorError)(error)
