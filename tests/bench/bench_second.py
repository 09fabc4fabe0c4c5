# SPDX-License-Identifier: LGPL-2.1-or-later
"""second: what the next snapshot of a guest adds to the store, against the changed pages packed by themselves."""
import json
import os
import random
import shutil
import time

import guests
import images
from harness import MIB, Result, figure, kib, run, store_parts

TITLE = "Second snapshot of a guest"
NEEDS_LAB = True


class Chain:
    """Snapshots of one guest, one after the other, into one store; how much each one added."""

    def __init__(self, bench, name):
        self.bench = bench
        self.store = bench.fresh(name)
        self.n = 0
        self.before = self.first = None
        self.packed = 0    # bytes of changed pages, packed
        self.changed = 0   # pages
        self.reported = 0  # bytes that pagevault says it stored

    def took(self, said):
        """A snapshot was made; the second and later ones count."""
        self.n += 1
        self.before = store_parts(self.store)
        if self.n == 1:
            self.first = self.before
        else:
            self.reported += json.loads(said)["stored_bytes"]

    def expect(self, old, new):
        """Takes note of what changed from one image to the next."""
        changes = json.loads(run(self.bench.tool("bench-changes"), old, new))
        self.changed += changes["changed_nonzero"]
        self.packed += changes["packed_bytes"]

    def row(self, what):
        n = self.n - 1
        grown = {part: (self.before[part] - self.first[part]) / n for part in self.before}
        total, packed = sum(grown.values()), self.packed / n
        return [what, str(n), f"{self.changed / n:.0f}", kib(packed), kib(grown["packs"]), kib(grown["snapshots"]),
                kib(grown["index"]), kib(total), f"{figure(total / packed)} ×"], total / packed


HEAD = ["what changed", "snapshots", "pages each", "packed by themselves", "packs", "snapshot objects", "index", "sum",
        "ratio"]


class Content:
    """New contents for pages, each unlike all that were before: of a file with 8 bytes changed, of noise, or what the
    page was before with 8 bytes changed."""

    def __init__(self, kind):
        self.rng = random.Random(kind)
        self.kind = kind
        self.files = images.file_pages()

    def page(self, old):
        if self.kind == "noise":
            return self.rng.randbytes(images.PAGE)
        page = old if self.kind == "word" else next(self.files)
        at = self.rng.randrange(images.PAGE // 8) * 8
        return page[:at] + self.rng.randbytes(8) + page[at + 8:]


def places(rng, n_pages, count, run_length):
    """@count pages in runs of @run_length."""
    chosen = set()
    while len(chosen) < count:
        start = rng.randrange(n_pages - run_length)
        chosen.update(range(start, min(start + run_length, start + count - len(chosen))))
    return sorted(chosen)


def made_up(bench, result):
    n_pages = (64 if bench.quick else 256) * MIB // images.PAGE
    n_snapshots = 3 if bench.quick else 5
    base = bench.path("base")
    images.write_raw(base, images.Mix(n_pages).pages())
    few, many = (100, 1000) if bench.quick else (500, 10000)
    cases = [("single pages, from files", "files", few, 1), ("single pages, from files", "files", many, 1),
             ("single pages, a word of each", "word", many, 1), ("single pages, noise", "noise", many, 1),
             ("runs of 64 pages, from files", "files", many, 64),
             ("runs of 64 pages, noise", "noise", many, 64)]
    rows = []
    for what, kind, count, run_length in cases:
        rows.append(made_up_case(bench, result, base, n_pages, n_snapshots, (what, kind, count, run_length)))
    result.table(f"made up: an image of {n_pages * images.PAGE // MIB} MiB that changes in places, {n_snapshots} "
                 "more snapshots of it, what each adds on average", HEAD, rows)
    os.unlink(base)


def made_up_case(bench, result, base, n_pages, n_snapshots, case):
    what, kind, count, run_length = case
    chain, content, rng = Chain(bench, "store"), Content(kind), random.Random(what)
    old, new = bench.path("old"), bench.path("new")
    shutil.copyfile(base, old)
    chain.took(take(bench, chain, old))
    for _ in range(n_snapshots):
        shutil.copyfile(old, new)
        with open(new, "r+b") as file:
            for place in places(rng, n_pages, count, run_length):
                file.seek(place * images.PAGE)
                page = content.page(file.read(images.PAGE))
                file.seek(place * images.PAGE)
                file.write(page)
        chain.expect(old, new)
        chain.took(take(bench, chain, new))
        os.replace(new, old)
    os.unlink(old)
    row, ratio = chain.row(what)
    result.at_most(f"{what}, {count}", ratio, 1.1)
    shutil.rmtree(chain.store)
    bench.say(f"{what}, {count}: {figure(ratio)}")
    return row


def take(bench, chain, image):
    return run(bench.pagevault, "--store", chain.store, "import", image, "--name", f"guest@{chain.n}", "--json")


def captured(bench, result):
    """A guest that is left alone, and one that writes; what changed is told by the images that the store gives back."""
    memory, interval = (256, 3) if bench.quick else (1024, 10)
    rows = []
    with guests.lab(), guests.Guest("second", memory, files=memory // 4, oracle=memory // 8) as guest:
        for what, rate in [(f"a guest left alone for {interval} s", 0),
                           (f"a guest that writes 1 MiB/s, {interval} s", 1024)]:
            guest.settle(rate)
            chain, old, new = Chain(bench, "store"), bench.path("old"), bench.path("new")
            for i in range(2 if bench.quick else 4):
                time.sleep(interval)
                chain.took(guest.create(bench, chain.store, f"s{i}", "--no-disks"))
                run(bench.pagevault, "--store", chain.store, "export", f"{guest.name}@s{i}", new)
                if i > 0:
                    chain.expect(old, new)
                os.replace(new, old)
            row, ratio = chain.row(what)
            rows.append(row)
            result.at_most(what, ratio, 1.1)
            shutil.rmtree(chain.store)
            os.unlink(old)
    result.table(f"captured: pagevault create of a guest of {memory} MiB (without its disks)", HEAD, rows)


def run_bench(bench):
    result = Result()
    result.command("pagevault import IMAGE --name guest@N")
    result.command("pagevault create second sN --no-disks")
    result.command("bench-changes OLD NEW")
    result.remark("Packed by themselves: pages that differ from those at the same place of the snapshot before and are "
                  "not zero, 32 at a time, zstd -1. All files of the store count, by their sizes; SQLite's file grows "
                  "in steps, hence averages over several snapshots.")
    made_up(bench, result)
    if bench.can_create():
        captured(bench, result)
    else:
        result.remark("Captures of real guests: not measured, this build has no 'create'.")
    return result
