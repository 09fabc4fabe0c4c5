# SPDX-License-Identifier: LGPL-2.1-or-later
"""memsnap: how long a snapshot of much memory holds up a process, beside fork(2) of the same process."""
import json
import os
import statistics

from harness import KIB, MIB, Result, figure, mib, run

TITLE = "memsnap: pause of a process"
NEEDS_LAB = False


def milliseconds(values):
    return f"{figure(statistics.median(values) / 1000)} ms" if values else ""


def available():
    """Bytes of memory that could be had now."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * KIB for line in file if line.startswith("MemAvailable:"))


def measure(bench, result, mebibytes, pages):
    found = json.loads(run(bench.tool("bench-memsnap"), str(mebibytes), str(bench.repeat), pages))
    times = {}
    for one in found:
        for key, value in one.items():
            if key != "name":
                times.setdefault(one["name"], {}).setdefault(key, []).append(value)
    keys = ("caller_us", "caller_cpu_us", "pause_us", "stall_us", "total_us")
    rows = [[name] + [milliseconds(of.get(key)) for key in keys] + [mib(statistics.median(of["extra_kib"]) * KIB)]
            for name, of in times.items()]
    result.table(f"{mebibytes} MiB resident, {'huge' if pages == 'thp' else '4 KiB'} pages",
                 ["what", "call", "CPU time", "instant", "longest store", "all read", "extra memory"], rows)
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
                  "all is read and at least 0.3 s, with whatever else the machine does; all read: from the call until "
                  "every page was copied out once; extra memory: the most that copies took, with fork(2) the child's "
                  "page tables as well. Sizes: PAGEVAULT_BENCH_MIB.")
    sizes = [int(size) for size in os.environ["PAGEVAULT_BENCH_MIB"].split()] if "PAGEVAULT_BENCH_MIB" in os.environ \
        else [256] if bench.quick else [1024, 4096, 12288]
    for mebibytes in sizes:
        if mebibytes * MIB * 5 // 4 > available():
            result.remark(f"{mebibytes} MiB: left out, this machine had not so much memory to spare.")
            continue
        for pages in ("small", "thp"):
            measure(bench, result, mebibytes, pages)
    return result
