# SPDX-License-Identifier: LGPL-2.1-or-later
"""direct: create with the direct engine against the stream of the same QEMU into cat."""
import json
import shutil
import statistics
import time

import guests
from harness import Result, cpu_of_children, figure, in_turns, mib, seconds

TITLE = "Capture with the direct engine"
NEEDS_LAB = True
DIRTY = 64   # MiB written between two captures


class Captures:
    """Each leaves the guest running. The guest rests: what is dirtied between captures is dirtied here."""

    def __init__(self, bench, guest):
        self.bench = bench
        self.guest = guest
        self.n = 0
        self.said = {}
        self.cpu = {}    # of what: seconds of CPU time of pagevault, of QEMU, in the last run

    def watched(self, what, function):
        ours, qemu = cpu_of_children(), self.guest.cpu()
        start = time.monotonic()
        taken = function() or time.monotonic() - start
        self.cpu[what] = (cpu_of_children() - ours, self.guest.cpu() - qemu)
        return taken

    def create(self, what, store):
        self.n += 1
        said = self.guest.create(self.bench, store, f"s{self.n}", "--engine", "direct", "--track", "--no-disks",
                                 "--max-pause", "200")
        self.said[what] = json.loads(said)

    def cat(self):
        """Before it a capture that ends the tracker: the stream needs the memory for itself."""
        self.guest.create(self.bench, self.bench.fresh("none"), "none", "--engine", "direct", "--no-disks")
        shutil.rmtree(self.bench.path("none"))
        return self.watched("cat", self.guest.stream_to_cat)

    def first(self):
        store = self.bench.fresh("direct")
        return self.watched("first", lambda: self.create("first", store))

    def second(self):
        """Into the store of the first; the tracker is there."""
        self.guest.console(f"dirty {DIRTY}")
        store = self.bench.path("direct")
        return self.watched("second", lambda: self.create("second", store))


def run_bench(bench):
    result = Result()
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    memory = 512 if bench.quick else 1024
    result.command("pagevault create direct NAME --engine direct --track --no-disks --max-pause 200")
    result.command("virsh qemu-monitor-command direct …   (getfd, migrate fd:…) | cat >/dev/null")
    result.remark(f"A guest of {memory} MiB, half of it pages of the oracle (half of each page noise), an eighth files "
                  f"of /usr; it rests. First: everything is new to the store. Tracked: {DIRTY} MiB were written since "
                  "the snapshot before. From the start of the command to its end, for the stream from the command to "
                  "its last byte.")
    with guests.lab(), guests.Guest("direct", memory, files=memory // 8, oracle=memory // 2) as guest:
        guest.settle()
        captures = Captures(bench, guest)
        captures.cat()   # the first one makes QEMU's page tables
        times = in_turns(bench.repeat, {"cat": captures.cat, "first": captures.first, "second": captures.second})
    cat = statistics.median(times["cat"])
    rows = []
    for name, what in (("cat", "stream into cat"), ("first", "create, first"), ("second", "create, tracked")):
        said = captures.said.get(name)
        keys = ("known_bytes", "new_bytes", "stored_bytes")
        rows.append([what, seconds(times[name]), f"{figure(statistics.median(times[name]) / cat)} ×",
                     *(f"{used:.2f} s" for used in captures.cpu[name]),
                     f"{said['pause_ms']:.0f} ms" if said else "", *(mib(said[key]) if said else "" for key in keys)])
    result.remark("CPU times and pauses are those of the last run; QEMU's CPU times include what the guest does.")
    result.table("direct", ["what", "time", "of cat", "CPU of it", "CPU of QEMU", "pause", "known", "new", "stored"],
                 rows)
    result.at_most("first", statistics.median(times["first"]) / cat, 0.5)
    result.at_most(f"tracked, {DIRTY} MiB written", statistics.median(times["second"]) / cat, 0.05)
    return result
