# SPDX-License-Identifier: LGPL-2.1-or-later
"""direct: create with the direct engine against the stream of the same QEMU into cat; what tracking costs the guest."""
import json
import os
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


class Cost:
    """What writing to memory costs a guest: CPU time of QEMU while it rewrites all @size MiB of its oracle, each page
    once: the guest goes on where it stopped, and so begins at the same page each time."""

    def __init__(self, bench, guest, size):
        self.bench = bench
        self.guest = guest
        self.size = size
        self.n = 0

    def write(self):
        before = self.guest.cpu()
        self.guest.console(f"dirty {self.size}")
        return self.guest.cpu() - before

    def after_capture(self, *options):
        """Its pages are protected if it is tracked: the first write to each of them is noted."""
        self.n += 1
        self.guest.create(self.bench, self.bench.path("cost"), f"c{self.n}", "--engine", "direct", "--no-disks",
                          *options)
        return self.write()

    def without(self):
        return self.after_capture()

    def tracked(self):
        return self.after_capture("--track")

    def rows(self, repeat):
        self.bench.fresh("cost")
        self.without()
        self.tracked()
        times = in_turns(repeat, {"without": self.without, "tracked": self.tracked, "again": self.write})
        plain = statistics.median(times["without"])
        names = {"without": "not tracked", "tracked": "tracked: first write to each page since the capture",
                 "again": "tracked: the same pages once more"}
        rows = []
        for name, what in names.items():
            median = statistics.median(times[name])
            rows.append([what, seconds(times[name]), f"{figure(median / plain)} ×",
                         f"{figure(median / (self.size * 256) * 1e6)} µs"])
        return rows


def measure(bench, memory, costs):
    """Of a guest of that much memory: times, what create said, CPU times, and the rows of what tracking costs."""
    with guests.lab(), guests.Guest("direct", memory, files=memory // 8, oracle=memory // 2) as guest:
        guest.settle()
        captures = Captures(bench, guest)
        captures.cat()   # the first one makes QEMU's page tables
        times = in_turns(bench.repeat, {"cat": captures.cat, "first": captures.first, "second": captures.second})
        rows = Cost(bench, guest, memory // 2).rows(bench.repeat + 1) if costs else []
    return times, captures, rows


def rows_of(memory, times, captures):
    cat = statistics.median(times["cat"])
    for name, what in (("cat", "stream into cat"), ("first", "create, first"), ("second", "create, tracked")):
        said = captures.said.get(name)
        keys = ("known_bytes", "new_bytes", "stored_bytes")
        yield [f"{memory} MiB, {what}", seconds(times[name]), f"{figure(statistics.median(times[name]) / cat)} ×",
               *(f"{used:.2f} s" for used in captures.cpu[name]),
               f"{said['pause_ms']:.0f} ms" if said else "", *(mib(said[key]) if said else "" for key in keys)]


def run_bench(bench):
    result = Result()
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    sizes = [int(size) for size in os.environ["PAGEVAULT_BENCH_MIB"].split()] if "PAGEVAULT_BENCH_MIB" in os.environ \
        else [512] if bench.quick else [1024, 4096]
    result.command("pagevault create direct NAME --engine direct --track --no-disks --max-pause 200")
    result.command("virsh qemu-monitor-command direct …   (getfd, migrate fd:…) | cat >/dev/null")
    result.remark("Half of the guest is pages of the oracle (half of each page noise), an eighth files of /usr; it "
                  f"rests. First: everything is new to the store. Tracked: {DIRTY} MiB were written since the snapshot "
                  "before. From the start of the command to its end, for the stream from the command to its last byte. "
                  "Sizes: PAGEVAULT_BENCH_MIB.")
    result.remark("CPU times and pauses are those of the last run; QEMU's CPU times include what the guest does.")
    rows, costs, seconds_of = [], [], {}
    for memory in sizes:
        times, captures, cost = measure(bench, memory, memory == sizes[0])
        rows += rows_of(memory, times, captures)
        costs += cost
        seconds_of[memory] = {name: statistics.median(taken) for name, taken in times.items()}
    result.table("direct", ["what", "time", "of cat", "CPU of it", "CPU of QEMU", "pause", "known", "new", "stored"],
                 rows)
    result.table(f"tracking: the guest rewrites {sizes[0] // 2} MiB",
                 ["what", "CPU time of QEMU", "of not tracked", "a page"], costs)
    for memory, taken in seconds_of.items():
        result.at_most(f"{memory} MiB: first", taken["first"] / taken["cat"], 0.5)
        result.at_most(f"{memory} MiB: tracked, {DIRTY} MiB written", taken["second"] / taken["cat"], 0.05)
    if len(sizes) > 1:
        result.at_most(f"tracked, with {figure(sizes[-1] / sizes[0])} × the memory",
                       seconds_of[sizes[-1]]["second"] / seconds_of[sizes[0]]["second"], 1.25)
    return result
