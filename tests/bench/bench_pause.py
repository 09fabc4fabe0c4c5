# SPDX-License-Identifier: LGPL-2.1-or-later
"""pause: for how long a snapshot stops the guest."""
import json
import os
import statistics
import subprocess

import guests
from harness import Result, figure, in_turns, run, spread

TITLE = "Guest pause"
NEEDS_LAB = True


class Snapshots:
    """Both ways to make a snapshot of one guest with one disk; each leaves the guest as it was."""

    def __init__(self, bench, guest):
        self.bench = bench
        self.guest = guest
        self.n = 0
        self.told = []   # pause_ms that pagevault reports itself

    def virsh(self):
        name, memory, overlay = self.guest.name, guests.disks("pause.memory"), guests.disks("pause.overlay")
        pause, _ = self.guest.pause_of(lambda: run(
            "virsh", "snapshot-create-as", name, "bench", "--atomic", "--memspec", f"file={memory},snapshot=external",
            "--diskspec", f"vda,snapshot=external,file={overlay}"))
        run("virsh", "snapshot-delete", name, "bench", "--metadata")
        run("virsh", "blockcommit", name, "vda", "--active", "--pivot", "--wait")
        for path in (memory, overlay):
            if os.path.exists(path):
                os.unlink(path)
        return pause

    def pagevault(self):
        self.n += 1
        pause, said = self.guest.pause_of(
            lambda: self.guest.create(self.bench, self.bench.fresh("store"), f"s{self.n}"))
        self.told.append(json.loads(said)["pause_ms"])
        subprocess.run(["rm", "-rf", self.bench.path("store")], check=True)
        return pause


def run_bench(bench):
    result, medians = Result(), {}
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    result.command("pagevault create pause NAME")
    result.command("virsh snapshot-create-as pause bench --atomic --memspec file=…,snapshot=external "
                   "--diskspec vda,snapshot=external,file=…")
    result.remark("From the STOP event to the RESUME event, by QEMU's own clock; a guest with one disk that writes "
                  "4 MiB of memory a second, half of it filled. What pagevault reports itself (pause_ms) "
                  "beside it.")
    rows = []
    large = 1024 if bench.quick else 4096
    with guests.lab():
        for memory in (large // 8, large):
            with guests.Guest("pause", memory, oracle=memory // 2) as guest:
                snapshots = Snapshots(bench, guest)
                pauses = in_turns(bench.repeat, {"pagevault create": snapshots.pagevault,
                                                 "virsh snapshot-create-as": snapshots.virsh})
            for way, times in pauses.items():
                medians[way, memory] = statistics.median(times)
                told = spread(snapshots.told, "ms") if way.startswith("pagevault") else ""
                rows.append([f"{memory} MiB, {way}", spread(times, "ms"), told])
            bench.say(f"{memory} MiB: {figure(medians['pagevault create', memory])} ms, "
                      f"{figure(medians['virsh snapshot-create-as', memory])} ms")
    result.table("pause", ["guest", "pause", "told by pagevault"], rows)
    ours = medians["pagevault create", large]
    result.at_most(f"{large} MiB: pause, of that of virsh", ours / medians["virsh snapshot-create-as", large], 0.01)
    result.at_most("pause with 8 × the memory", ours / medians["pagevault create", large // 8], 2)
    return result
