"""Tests monitor.py against a daemon that serves what monitor-daemon/tests/rpc_clients.rs made.

Run by that test: MONITOR_SOCKET names the socket, MONITOR_SOCKID a connection whose server side holds
OFFSETS 0..300000 and 300100..300105 of the pattern below, and which is closed.
"""

import os
import unittest

from monitor import Gap, Monitor, MonitorError, NoData, NoSuchConnection, Read

PATH = os.environ["MONITOR_SOCKET"]
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

    def test_follows_to_the_end_and_tells_what_is_missing(self) -> None:
        parts = list(self.monitor.follow(SOCKID, "server", off=5, chunk=70_000))
        reads = [part for part in parts if isinstance(part, Read)]
        gaps = [part for part in parts if isinstance(part, Gap)]
        data = b"".join(read.data for read in reads)
        self.assertEqual(data, pattern(5, 299_995) + pattern(300_100, 5))
        self.assertEqual(gaps, [Gap(300_000, 100, "gap")])

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
