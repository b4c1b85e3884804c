"""Tests monitor.py against a daemon that serves what monitor-daemon/tests/rpc_clients.rs made.

Run by that test: MONITOR_SOCKET names the socket, MONITOR_SOCKID a connection whose server side holds
OFFSETS 0..300000 and 300100..300105 of the pattern below, and which is closed. On MONITOR_LIVE_SOCKET there is always
something new: connections to port 81, whose client says "ping" and is reset.
"""

import json
import os
import socket
import tempfile
import unittest
from threading import Event, Thread

from monitor import Monitor, MonitorError, NoData, NoSuchConnection, TimedOut

PATH = os.environ["MONITOR_SOCKET"]
LIVE = os.environ["MONITOR_LIVE_SOCKET"]
SOCKID = int(os.environ["MONITOR_SOCKID"])
ENDS = ("10.0.0.1:1234", "10.0.0.2:80")


def pattern(start: int, count: int) -> bytes:
    return bytes((at ^ at >> 8 ^ at >> 16) * 131 & 255 for at in range(start, start + count))


class Client(unittest.TestCase):
    def setUp(self) -> None:
        self.monitor = Monitor(PATH, timeout=20)
        self.addCleanup(self.monitor.close)

    def test_hello(self) -> None:
        hello = self.monitor.hello("test_monitor.py")
        self.assertEqual(hello["version"], 1)
        self.assertIn("ppeek", hello["methods"])

    def test_lists_in_pages(self) -> None:
        every = [socket["sockid"] for socket in self.monitor.sockets()]
        self.assertIn(SOCKID, every)
        self.assertEqual(len(set(every)), 12)
        self.assertEqual([socket["sockid"] for socket in self.monitor.sockets(page=5)], every)
        self.assertEqual([socket["sockid"] for socket in self.monitor.sockets(port=1234)], [SOCKID])

    def test_finds_and_shows(self) -> None:
        self.assertEqual(self.monitor.lookup(*ENDS)["sockid"], SOCKID)
        info = self.monitor.info(SOCKID)
        self.assertEqual((info["client"], info["server"], info["closed"]), (*ENDS, "rst"))
        self.assertEqual(self.monitor.fragments(SOCKID, "server"), [(0, 300_000), (300_100, 5)])

    def test_turns(self) -> None:
        turns = list(self.monitor.turns(SOCKID, page=2))
        self.assertEqual([turn["time"] for turn in turns], sorted(turn["time"] for turn in turns))
        received = [turn for turn in turns if turn["side"] == "server"]
        self.assertEqual(sum(turn["len"] for turn in received), 300_005)
        self.assertEqual((received[0]["off"], received[-1]["off"] + received[-1]["len"]), (0, 300_105))
        rest = self.monitor.turns(SOCKID, {"client": 0, "server": 300_105})
        self.assertEqual({turn["side"] for turn in rest}, {"client"})

    def test_reads(self) -> None:
        read = self.monitor.ppeek(SOCKID, "server", 7, 1000)
        self.assertEqual((read.off, read.data, read.end, read.eof), (7, pattern(7, 1000), 300_105, False))
        self.assertEqual(self.monitor.ppeek(SOCKID, 1, 0, 1 << 30).data, pattern(0, 300_000))
        self.assertEqual(self.monitor.ppeek(SOCKID, "client", 0, 0).data, b"")

    def test_errors(self) -> None:
        with self.assertRaises(NoData) as caught:
            self.monitor.ppeek(SOCKID, "server", 300_000, 1)
        self.assertEqual((caught.exception.errno, caught.exception.reason), ("ENODATA", "gap"))
        self.assertEqual(caught.exception.next_extent, 300_100)
        with self.assertRaises(NoSuchConnection):
            self.monitor.info(2**53 - 1)
        with self.assertRaises(NoSuchConnection):
            self.monitor.lookup("10.9.9.9:1", "10.9.9.9:2")
        with self.assertRaises(MonitorError) as wrong:
            self.monitor.ppeek(SOCKID, "middle", 0, 1)
        self.assertEqual((wrong.exception.code, wrong.exception.data["parameter"]), (-32602, "side"))
        # And the connection goes on.
        self.assertEqual(self.monitor.ppeek(SOCKID, "server", 0, 1).data, pattern(0, 1))

    def test_peeks_in_order(self) -> None:
        first = self.monitor.peek(SOCKID, "server", 299_990)
        self.assertEqual((first.off, first.data, first.lost, first.gap), (0, pattern(0, 299_990), 0, None))
        self.assertEqual(self.monitor.ppeek(SOCKID, "server", 5, 5).data, pattern(5, 5))
        self.assertEqual(self.monitor.peek(SOCKID, "server", 100).data, pattern(299_990, 10))
        behind = self.monitor.peek(SOCKID, "server", 100)
        self.assertEqual((behind.data, behind.gap), (pattern(300_100, 5), (300_000, 100)))
        with self.assertRaises(NoData):
            self.monitor.peek(SOCKID, "server", 100)
        # Each side and each object has its own cursor; 1 is the server's side.
        self.assertEqual(self.monitor.peek(SOCKID, "client", 4).data, b"HTTP")
        self.assertEqual(self.monitor.peek(SOCKID, 1, 0).off, 300_105)
        with Monitor(PATH, timeout=20) as other:
            self.assertEqual(other.peek(SOCKID, 1, 4).off, 0)

    def test_a_timeout_within_raw_bytes_ends_the_connection(self) -> None:
        # The captured bytes that come too late look like a reply.
        late = b'{"jsonrpc":"2.0","id":2,"result":{"sockid":666}}\n'
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(directory, "socket")
            listener.bind(path)
            listener.listen()

            def serve() -> None:
                peer, _ = listener.accept()
                with peer:
                    request = json.loads(peer.makefile("rb").readline())
                    head = {"off": 0, "len": 60, "base": 0, "next": 60, "end": 60, "fin": None, "eof": False, "raw": 60}
                    reply = {"jsonrpc": "2.0", "id": request["id"], "result": head}
                    peer.sendall(json.dumps(reply).encode() + b"\n" + bytes(60 - len(late)))
                    timed_out.wait()
                    try:
                        peer.sendall(late)
                    except BrokenPipeError:
                        pass

            timed_out = Event()
            server = Thread(target=serve)
            server.start()
            with Monitor(path, timeout=0.2) as monitor:
                with self.assertRaises(TimeoutError):
                    monitor.ppeek(1, "server", 0, 60)
                timed_out.set()
                server.join()
                with self.assertRaises(ConnectionError) as caught:
                    monitor.info(1)
            self.assertIn("make another Monitor", str(caught.exception))

    def test_waits(self) -> None:
        self.assertEqual(self.monitor.wait(SOCKID, "server", 299_000)["available"], 1000)
        with self.assertRaises(NoData) as gone:
            self.monitor.wait(SOCKID, "server", 400_000)
        self.assertEqual(gone.exception.reason, "closed")
        (still_open,) = self.monitor.sockets(port=5000)
        with self.assertRaises(TimedOut):
            self.monitor.wait(still_open["sockid"], "server", 0, timeout=0.01)

    def test_follows_to_the_end_and_tells_what_is_missing(self) -> None:
        with self.monitor.follow(SOCKID, "server", off=5, timeout=20) as events:
            told = list(events)
        data = b"".join(event["data"] for event in told if event["event"] == "data")
        self.assertEqual(data, pattern(5, 299_995) + pattern(300_100, 5))
        gaps = [(event["off"], event["len"]) for event in told if event["event"] == "gap"]
        self.assertEqual(gaps, [(300_000, 100)])
        self.assertEqual((told[-1]["event"], told[-1]["side"]), ("end", "server"))

    def test_follows_both_sides(self) -> None:
        told = list(self.monitor.follow(SOCKID, timeout=20))
        self.assertEqual(sorted(event["side"] for event in told if event["event"] == "end"), ["client", "server"])
        answer = b"".join(it["data"] for it in told if it["event"] == "data" and it["side"] == "client")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"))

    def test_goes_on_after_a_time_out(self) -> None:
        # As much as a reply may take on a loaded machine.
        with self.monitor.subscribe(timeout=0.5) as events:
            for _ in range(3):
                with self.assertRaises(TimeoutError):
                    next(events)
        with self.assertRaises(StopIteration):
            next(events)

    def test_subscribes(self) -> None:
        with Monitor(LIVE, timeout=20) as live:
            with live.subscribe(["opened", "data", "closed"], filter="port 81", data=100, timeout=20) as events:
                opened = next(event for event in events if event["event"] == "opened")
                self.assertEqual((opened["server"], opened["listener"]), ("10.0.0.2:81", events.listener["sockid"]))
                own = (event for event in events if event.get("sockid") == opened["sockid"])
                data, closed = next(own), next(own)
            self.assertEqual((data["event"], data["side"], data["off"]), ("data", "server", 0))
            self.assertEqual(data["data"], b"ping")
            self.assertEqual((closed["event"], closed["reason"]), ("closed", "rst"))
            with self.assertRaises(MonitorError):
                live.subscribe(filter="port eighty")

    def test_describes_itself(self) -> None:
        names = [method["name"] for method in self.monitor.discover()["methods"]]
        self.assertEqual(names, self.monitor.hello()["methods"])
        self.assertIn("rpc", self.monitor.config_get()["config"])

    def test_stats(self) -> None:
        stats = self.monitor.stats()
        self.assertEqual(stats["flows"]["opened"], 12)
        self.assertEqual(stats["capture"]["mode"], "replay")

    def test_no_daemon(self) -> None:
        with self.assertRaises(FileNotFoundError) as caught:
            Monitor(PATH + ".not")
        self.assertIn("start monitord", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
