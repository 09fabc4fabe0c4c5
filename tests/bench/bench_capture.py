# SPDX-License-Identifier: LGPL-2.1-or-later
"""capture: create with the qemu engine against the same stream of the same QEMU into cat."""
import json
import shutil
import statistics
import time

import guests
from harness import Result, cpu_of_children, figure, in_turns, mib, seconds

TITLE = "Capture with the qemu engine"
NEEDS_LAB = True


class Captures:
    """Each leaves the guest running. The guest rests: what is dirtied between captures is dirtied here."""

    def __init__(self, bench, guest, oracle):
        self.bench = bench
        self.guest = guest
        self.oracle = oracle
        self.n = 0
        self.said = {}
        self.cpu = {}    # of what: seconds of CPU time of pagevault, of QEMU, in the last run

    def watched(self, what, function):
        ours, qemu = cpu_of_children(), self.guest.cpu()
        taken = function()
        self.cpu[what] = (cpu_of_children() - ours, self.guest.cpu() - qemu)
        return taken

    def create(self, store):
        self.n += 1
        start = time.monotonic()
        said = self.guest.create(self.bench, store, f"s{self.n}", "--engine", "qemu", "--no-disks")
        return time.monotonic() - start, json.loads(said)

    def all_new(self):
        def once():
            taken, self.said["all new"] = self.create(self.bench.fresh("new"))
            return taken
        taken = self.watched("all new", once)
        shutil.rmtree(self.bench.path("new"))
        return taken

    def known(self):
        """A store that has a snapshot of the guest already; a twentieth of its memory was written since."""
        if not self.said.get("known"):
            self.create(self.bench.fresh("known"))
        self.guest.console(f"dirty {max(1, self.oracle // 20)}")


        def once():
            taken, self.said["known"] = self.create(self.bench.path("known"))
            return taken
        return self.watched("known", once)

    def cat(self):
        return self.watched("cat", self.guest.stream_to_cat)


def run_bench(bench):
    result = Result()
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    memory = 512 if bench.quick else 2048
    oracle = memory // 2
    result.command("pagevault create capture NAME --engine qemu --no-disks")
    result.command("virsh qemu-monitor-command capture …   (getfd, migrate fd:…) | cat >/dev/null")
    result.remark(f"A guest of {memory} MiB, half of it pages of the oracle (half of each page noise), an eighth files "
                  "of /usr; it rests. From the start of the command to its end, for the stream from the command to its "
                  "last byte; the pipe is as large as that of create.")
    with guests.lab(), guests.Guest("capture", memory, files=memory // 8, oracle=oracle) as guest:
        guest.settle()
        captures = Captures(bench, guest, oracle)
        captures.cat()   # the first one makes QEMU's page tables
        times = in_turns(bench.repeat, {"cat": captures.cat, "all new": captures.all_new, "known": captures.known})
    cat = statistics.median(times["cat"])
    rows = []
    for name, what in (("cat", "stream into cat"), ("all new", "create, empty store"),
                       ("known", "create, 95 % known")):
        said = captures.said.get(name)
        keys = ("zero_bytes", "known_bytes", "new_bytes", "stored_bytes")
        shares = [mib(said[key]) if said else "" for key in keys]
        rows.append([what, seconds(times[name]), f"{figure(statistics.median(times[name]) / cat)} ×",
                     *(f"{used:.2f} s" for used in captures.cpu[name]), *shares])
    result.remark("CPU times are those of the last run; QEMU's include what the guest does.")
    result.table("capture", ["what", "time", "of cat", "CPU of it", "CPU of QEMU", "zero", "known", "new", "stored"],
                 rows)
    result.at_most("everything new", statistics.median(times["all new"]) / cat, 1.3)
    result.at_most("95 % known", statistics.median(times["known"]) / cat, 1.1)
    return result
