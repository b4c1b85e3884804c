"""Keeps account of what is missing and of what was said twice: holes, retransmissions, and bytes that came again and
differed, which is how a stream is tampered with, or how a monitor is led astray.

    PYTHONPATH=clients/python python3 examples/accountant.py [--filter "port 80"] [--seconds 60]

A line for each gap and conflict, and the sum of each connection at its end, or when the time is over.
"""

import argparse
import json
import time
from typing import Any, Dict, Iterator

from monitor import Monitor, MonitorError

Object = Dict[str, Any]
KINDS = ["gap", "filled", "conflict", "retransmit"]
#: Bytes of a conflict that are shown.
SHOWN = 32


class Account:
    """What became of one connection."""

    def __init__(self, ends: str) -> None:
        self.ends = ends
        self.bytes = dict.fromkeys(KINDS, 0)
        self.late = 0

    def enter(self, event: Object) -> None:
        self.bytes[event["event"]] += event["len"]
        self.late += bool(event.get("late"))

    def total(self, why: str) -> Object:
        sums = {f"{kind}_bytes": count for kind, count in self.bytes.items()}
        return {"event": "total", "ends": self.ends, "why": why, **sums, "late_conflicts": self.late}


def is_notable(account: Account) -> bool:
    return any(account.bytes.values())


class Accountant:
    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.open: Dict[int, Account] = {}
        #: Notes that the daemon dropped since this program was too slow for them.
        self.unseen = 0

    def account(self, sockid: int) -> Account:
        """That of a connection, which may be older than this program."""
        if sockid not in self.open:
            try:
                info = self.monitor.info(sockid)
                ends = f'{info["client"]} -> {info["server"]}'
            except MonitorError:
                ends = f"sockid {sockid}"
            self.open[sockid] = Account(ends)
        return self.open[sockid]

    def enter(self, event: Object) -> Iterator[Object]:
        kind, sockid = event["event"], event.get("sockid")
        if kind == "lost":
            self.unseen += event["count"]
        elif kind == "opened":
            self.open[sockid] = Account(f'{event["client"]} -> {event["server"]}')
        elif kind in KINDS:
            account = self.account(sockid)
            account.enter(event)
            if kind in ("gap", "conflict"):
                yield {**self.entry(event), "ends": account.ends}
        elif kind in ("closed", "evicted"):
            account = self.open.pop(sockid, None)
            if account is not None and is_notable(account):
                yield account.total(event.get("reason", "evicted"))

    def entry(self, event: Object) -> Object:
        entry = {key: event[key] for key in ("event", "time", "side", "off", "len")}
        if event["event"] == "conflict":
            entry["late"] = event["late"]
            # Which copy the receiver took; the other one is not kept.
            try:
                shown = min(event["len"], SHOWN)
                kept = self.monitor.ppeek(event["sockid"], event["side"], event["off"], shown)
                entry["kept"] = kept.data.decode("latin-1")
            except MonitorError:
                pass
        return entry

    def close(self) -> Iterator[Object]:
        for account in filter(is_notable, self.open.values()):
            yield account.total("open")
        if self.unseen:
            yield {"event": "unseen", "count": self.unseen}


def audit(monitor: Monitor, which: str, seconds: float) -> Iterator[Object]:
    accountant = Accountant(monitor)
    end = time.monotonic() + seconds
    with monitor.subscribe(["opened", "closed", "evicted", *KINDS], filter=which, timeout=0.2) as events:
        while time.monotonic() < end:
            try:
                yield from accountant.enter(next(events))
            except TimeoutError:
                pass
            except KeyboardInterrupt:
                break
    yield from accountant.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--filter", help="which connections; without it, all")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long; without it, until Ctrl-C")
    arguments = parser.parse_args()
    with Monitor() as the_monitor:
        for line in audit(the_monitor, arguments.filter, arguments.seconds):
            print(json.dumps(line), flush=True)
