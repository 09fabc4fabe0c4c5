# SPDX-License-Identifier: LGPL-2.1-or-later
"""import: one memory image into pagevault and into the backup programs restic, borg and casync."""
import os
import shutil
import statistics
import time

import guests
import images
from harness import MIB, Result, disk_usage, figure, in_turns, mib, run, seconds, timed

TITLE = "Import of a memory image"
NEEDS_LAB = True


class Tools:
    """Each makes an empty repository outside of the time measured, except pagevault: its time includes that."""

    def __init__(self, bench, image):
        self.bench = bench
        self.image = image
        self.sizes = {}

    def done(self, name, elapsed):
        self.sizes[name] = disk_usage(self.bench.path(name))
        shutil.rmtree(self.bench.path(name))
        shutil.rmtree(self.bench.path("cache"), ignore_errors=True)
        return elapsed

    def pagevault(self):
        store = self.bench.fresh("pagevault")
        return self.done("pagevault", timed(self.bench.pagevault, "--store", store, "import", self.image, "--name",
                                            "guest@image", "--json"))

    def restic(self):
        repository = self.bench.fresh("restic")
        env = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": self.bench.fresh("cache"),
               "RESTIC_REPOSITORY": repository}
        run("restic", "init", env=env)
        return self.done("restic", timed("restic", "backup", "--quiet", "--compression", "auto", self.image, env=env))

    def borg(self):
        repository = self.bench.fresh("borg")
        env = {"BORG_BASE_DIR": self.bench.fresh("cache"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        run("borg", "init", "--encryption", "none", repository, env=env)
        return self.done("borg", timed("borg", "create", "--compression", "zstd,1", f"{repository}::image", self.image,
                                       env=env))

    def casync(self):
        folder = self.bench.fresh("casync")
        return self.done("casync", timed("casync", "make", f"--store={folder}/default.castr",
                                         os.path.join(folder, "image.caibx"), self.image))


def compare(bench, result, what, image):
    tools = Tools(bench, image)
    size = os.stat(image).st_size
    bench.say(f"{what}: {mib(size)}")
    runs = in_turns(bench.repeat, {name: getattr(tools, name) for name in ("pagevault", "restic", "borg", "casync")})
    times = {name: [wall for wall, _ in taken] for name, taken in runs.items()}
    ours = statistics.median(times["pagevault"])
    rows = []
    for name, taken in times.items():
        median = statistics.median(taken)
        cpu = statistics.median(cpu for _, cpu in runs[name])
        rows.append([name, seconds(taken), f"{size / median / 1e6:.0f} MB/s", f"{figure(median / ours)} ×",
                     f"{cpu:.2f} s", mib(tools.sizes[name]), f"{figure(tools.sizes[name] / tools.sizes['pagevault'])} ×"])
    result.table(f"{what}, {mib(size)}", ["program", "time", "speed", "of ours", "CPU time", "stored", "of ours"], rows)
    for name in ("restic", "borg", "casync"):
        result.at_least(f"{what}: {name}, time", statistics.median(times[name]) / ours, 3)
        result.at_most(f"{what}: {name}, our size of theirs", tools.sizes["pagevault"] / tools.sizes[name], 1)


def run_bench(bench):
    result = Result()
    result.command("pagevault import IMAGE --name guest@image")
    result.command("restic backup --compression auto IMAGE")
    result.command("borg create --compression zstd,1 REPO::image IMAGE   (repository without encryption)")
    result.command("casync make --store=DIR image.caibx IMAGE")
    result.remark("Local repositories on one file system, all empty before each run; the image is in the page cache. "
                  "Making the repository is part of pagevault's time and of nobody else's. Stored: what du says of the "
                  "repository.")
    result.remark("made up: " + ", ".join(f"{share} % {kind}" for kind, share in images.SHARES)
                  + " (what these are: tests/bench/images.py). guest: virsh save of a Linux guest whose page cache "
                  "is full of files from /usr.")

    n_pages = (128 if bench.quick else 512) * MIB // images.PAGE
    image = bench.path("image")
    images.write_stream(image, images.Mix(n_pages).pages(), n_pages)
    compare(bench, result, "made up", image)
    os.unlink(image)

    memory = 512 if bench.quick else 1024
    with guests.lab(), guests.Guest("import", memory, files=memory * 3 // 8, oracle=16) as guest:
        time.sleep(2)
        image = guest.save()
    compare(bench, result, "guest", image)
    os.unlink(image)
    return result
