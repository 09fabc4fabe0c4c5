# SPDX-License-Identifier: LGPL-2.1-or-later
"""stall: the longest time that a guest's vCPU did not run during a capture, as the guest itself sees it."""
import json
import subprocess
import time

import guests
from harness import GIB, MIB, Result, figure, in_turns, spread

TITLE = "Guest stalls during a capture"
NEEDS_LAB = True

BUFFERS = [16 * MIB, 64 * MIB, 256 * MIB, GIB]


class Stalls:
    def __init__(self, bench, guest):
        self.bench = bench
        self.guest = guest
        self.n = 0
        self.said = {}

    def longest(self, function):
        self.guest.stall_ms()
        function()
        return self.guest.stall_ms()

    def create(self, buffer, policy):
        def once():
            self.n += 1
            self.said[buffer, policy] = json.loads(self.guest.create(
                self.bench, self.bench.fresh("store"), f"s{self.n}", "--engine", "qemu", "--no-disks", "--buffer",
                f"{buffer // MIB}MiB", "--on-overrun", policy))
            subprocess.run(["rm", "-rf", self.bench.path("store")], check=True)
        return self.longest(once)

    def cat(self):
        return self.longest(self.guest.stream_to_cat)

    def nothing(self):
        return self.longest(lambda: time.sleep(3))


def run_bench(bench):
    result = Result()
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    memory = 512 if bench.quick else 1024
    rate = 16384
    result.command("pagevault create stall NAME --engine qemu --no-disks --buffer SIZE --on-overrun POLICY")
    result.remark(f"A guest of {memory} MiB with one vCPU, half of its memory pages of the oracle, of which it "
                  f"rewrites {rate // 1024} MiB a second; everything is new to the store. The guest wakes up every 2 ms "
                  "and notes how much later it was. Its clock stands still while QEMU is stopped, so the pause itself "
                  "is not in these figures. 'nothing': three seconds without a capture.")
    with guests.lab(), guests.Guest("stall", memory, files=memory // 8, oracle=memory // 2) as guest:
        guest.settle(rate)
        stalls = Stalls(bench, guest)
        candidates = {"nothing": stalls.nothing, "stream into cat": stalls.cat}
        for policy in ("throttle", "spill"):
            for buffer in BUFFERS:
                candidates[f"create, {buffer // MIB} MiB, {policy}"] = (
                    lambda buffer=buffer, policy=policy: stalls.create(buffer, policy))
        times = in_turns(bench.repeat, candidates)
    said = {f"create, {buffer // MIB} MiB, {policy}": value for (buffer, policy), value in stalls.said.items()}
    rows = []
    for name, longest in times.items():
        told = said.get(name)
        rows.append([name, spread(longest, "ms"), f"{told['total_ms'] / 1000:.2f} s" if told else "",
                     f"{figure(told['overrun_bytes'] / MIB)} MiB" if told else ""])
    result.table("longest stall", ["what", "longest stall", "last capture took", "overrun"], rows)
    return result
