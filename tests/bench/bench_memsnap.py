# SPDX-License-Identifier: LGPL-2.1-or-later
"""memsnap: how long a snapshot of much memory holds up a process, beside fork(2) of the same process."""
import json
import statistics

from harness import Result, figure, run

TITLE = "memsnap: pause of a process"
NEEDS_LAB = False


def milliseconds(values):
    return f"{figure(statistics.median(values) / 1000)} ms" if values else ""


def measure(bench, result, mebibytes, pages):
    found = json.loads(run(bench.tool("bench-memsnap"), str(mebibytes), str(bench.repeat), pages))
    times = {}
    for one in found:
        for key, value in one.items():
            if key != "name":
                times.setdefault(one["name"], {}).setdefault(key, []).append(value)
    rows = [[name] + [milliseconds(of.get(key)) for key in ("caller_us", "caller_cpu_us", "pause_us", "stall_us")]
            for name, of in times.items()]
    result.table(f"{mebibytes} MiB resident, {'huge' if pages == 'thp' else '4 KiB'} pages",
                 ["what", "call", "CPU time", "instant", "longest store"], rows)
    fork = statistics.median(times["fork(2)"]["caller_us"])
    for name in ("uffd, prepared", "uffd"):
        result.at_most(f"{mebibytes} MiB, {pages}: {name}, time of the call of fork(2)",
                       statistics.median(times[name]["caller_us"]) / fork, 0.2)


def run_bench(bench):
    result = Result()
    result.command("bench-memsnap MEBIBYTES ROUNDS thp|small")
    result.remark("A thread writes to the memory all the time, a page every 50 µs. Call: wall time in the thread that "
                  "takes the snapshot; CPU time: of the process meanwhile (fork(2): of the thread); instant: as the "
                  "library measured the part in which nobody is answered; longest store: of the other thread, until "
                  "0.3 s after the call, with whatever else the machine does.")
    for mebibytes in [256] if bench.quick else [1024, 4096]:
        for pages in ("small", "thp"):
            measure(bench, result, mebibytes, pages)
    return result
