# SPDX-License-Identifier: LGPL-2.1-or-later
"""encrypt: what encryption costs: the same image into a plain and an encrypted store, and out of it again."""
import os
import shutil
import statistics

import images
from harness import MIB, Result, disk_usage, figure, in_turns, mib, run, seconds, timed

TITLE = "Encrypted stores"
NEEDS_LAB = False

COST = "10"   # of scrypt: opening the store is not what is measured


class Stores:
    """A store of each kind; "in" fills an empty one, "out" reads what the last "in" left."""

    def __init__(self, bench, image, passphrase):
        self.bench = bench
        self.image = image
        self.env = {"plain": {}, "encrypted": {"PAGEVAULT_PASSPHRASE_FILE": passphrase}}
        self.sizes = {}

    def pagevault(self, kind, *words):
        return timed(self.bench.pagevault, "--store", self.bench.path(kind), *words, env=self.env[kind])

    def into(self, kind):
        shutil.rmtree(self.bench.path(kind), ignore_errors=True)
        encrypt = ["--encrypt", "--scrypt-cost", COST] if kind == "encrypted" else []
        run(self.bench.pagevault, "--store", self.bench.path(kind), "init", *encrypt, env=self.env[kind])
        taken = self.pagevault(kind, "import", self.image, "--name", "guest@image")
        self.sizes[kind] = disk_usage(self.bench.path(kind))
        return taken

    def out_of(self, kind):
        return self.pagevault(kind, "verify")


def run_bench(bench):
    result = Result()
    result.command("pagevault --store plain init; pagevault --store plain import IMAGE --name guest@image")
    result.command(f"pagevault --store encrypted init --encrypt --scrypt-cost {COST}; pagevault --store encrypted "
                   "import IMAGE --name guest@image")
    result.command("pagevault --store plain|encrypted verify")
    result.remark("Into empty stores, whose making is not measured; verify reads, decrypts, decompresses and names all "
                  "of it. The image is the made-up one of 'import'. CPU time, user and system, is what counts: wall time "
                  "depends on the disk, and on what else the machine does.")
    n_pages = (128 if bench.quick else 1024) * MIB // images.PAGE
    image, passphrase = bench.path("image"), bench.path("pass")
    images.write_stream(image, images.Mix(n_pages).pages(), n_pages)
    with open(passphrase, "w", encoding="utf-8") as file:
        file.write("bench\n")
    stores = Stores(bench, image, passphrase)
    size = os.stat(image).st_size
    runs = in_turns(bench.repeat, {f"{verb} {kind}": (lambda verb=verb, kind=kind: getattr(stores, verb)(kind))
                                   for verb in ("into", "out_of") for kind in ("plain", "encrypted")})
    rows = []
    for verb, what in (("into", "import"), ("out_of", "verify")):
        plain = statistics.median(cpu for _, cpu in runs[f"{verb} plain"])
        for kind in ("plain", "encrypted"):
            taken = runs[f"{verb} {kind}"]
            cpu = statistics.median(cpu for _, cpu in taken)
            rows.append([f"{what}, {kind}", seconds([wall for wall, _ in taken]), f"{cpu:.2f} s",
                         f"{figure(cpu / plain)} ×", mib(stores.sizes[kind])])
    result.table(f"made up, {mib(size)}", ["", "time", "CPU time", "of plain", "stored"], rows)
    return result
