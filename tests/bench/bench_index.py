# SPDX-License-Identifier: LGPL-2.1-or-later
"""index: what taking in a million chunks costs in a store that has many already, against an empty one."""
import os
import re
import shutil

from harness import Result, run

TITLE = "Index"
NEEDS_LAB = False


def number(text, pattern):
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"bench-index does not say '{pattern}'")
    return float(found.group(1))


def run_bench(bench):
    result = Result()
    result.command("bench-index NEW-DIRECTORY MILLIONS")
    result.remark("Random names, in packs of 16384, committed by the million; then five times a further million, and "
                  "the same five times into an empty index, each name looked up first, medians; in brackets CPU "
                  "time. 'with ingest': the ratio when everything else that is done to a chunk takes 4 µs. Sizes: "
                  "PAGEVAULT_BENCH_MILLIONS.")
    rows, bars = [], []
    sizes = os.environ.get("PAGEVAULT_BENCH_MILLIONS", "0.2 1" if bench.quick else "1 10 100").split()
    for millions in sizes:
        bench.say(f"{millions} million")
        folder = bench.path("index")
        said = run(bench.tool("bench-index"), folder, millions)
        shutil.rmtree(folder)
        full = number(said, r"(?m)^ingest of a million into it +([\d.]+)")
        empty = number(said, r"(?m)^ingest of a million into an empty index +([\d.]+)")
        with_ingest = number(said, r"(?m)^index alone, and with 4 us elsewhere +[\d.]+ and +([\d.]+) times$")
        memory = number(said, r"(?m)^peak memory +([\d.]+) MiB")
        size = re.findall(r"(?m)^bytes of the database per object +([\d.]+)", said)
        cpu = [number(said, rf"(?m)^ingest of a million into {where} .*, ([\d.]+) us of a processor$")
               for where in ("it", "an empty index")]
        rows.append([f"{millions} million", f"{full:.2f} µs ({cpu[0]:.2f})", f"{empty:.2f} µs ({cpu[1]:.2f})",
                     f"{full / empty:.2f} ×", f"{with_ingest:.2f} ×", f"{memory:.0f} MiB", size[0], size[-1]])
        bars = [(f"{millions} million: ingest", with_ingest, 1.25, " ×"),
                (f"{millions} million: memory", memory, 512, " MiB")]
    result.table("index", ["chunks", "each, into it", "into an empty one", "ratio", "with ingest", "peak memory",
                           "bytes each", "once optimized"], rows)
    for bar in bars:
        result.at_most(*bar)
    return result
