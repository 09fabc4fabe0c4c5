# SPDX-License-Identifier: LGPL-2.1-or-later
"""remote: push to and pull from Ceph, and reads by range, beside curl moving the same bytes."""
import os
import shutil
import statistics
import time

import bucket
from harness import MIB, Result, figure, files_under, in_turns, mib, run, seconds, timed

TITLE = "Object storage"
NEEDS_LAB = False
BAR = 1.15


class Moves:
    """Each move has a place of its own in the bucket; reads are of what was pushed first."""

    def __init__(self, bench, server, image):
        self.bench, self.server, self.image, self.n = bench, server, image, 0
        self.store = bench.path("store")
        self.pagevault("store", "import", image, "--name", "guest@image")
        self.packs = [path for path in files_under(os.path.join(self.store, "packs")) if not path.endswith(".lock")]
        self.size = sum(os.stat(path).st_size for path in self.packs)
        self.push("first")
        self.keys = ["first/packs/{}/{}".format(*path.split("/")[-2:]) for path in self.packs]

    def pagevault(self, store, *words):
        return timed(self.bench.pagevault, "--store", self.bench.path(store), *words, env=bucket.CREDENTIALS)

    def prefix(self):
        self.n += 1
        return f"place{self.n}"

    def push(self, prefix=None, *more):
        return self.pagevault("store", "push", "guest@image", f"s3://bench/{prefix or self.prefix()}", "--endpoint",
                              self.server.endpoint, *more)

    def curl_put(self):
        return self.clocked(lambda: self.server.put(self.packs, self.prefix()))

    def curl_get(self):
        folder = self.bench.fresh("got")
        return self.clocked(lambda: self.server.get(self.keys, folder))

    @staticmethod
    def clocked(function):
        os.sync()
        start = time.monotonic()
        function()
        return time.monotonic() - start, 0

    def attached(self, endpoint):
        shutil.rmtree(self.bench.path("other"), ignore_errors=True)
        self.pagevault("other", "attach", "s3://bench/first", "--endpoint", endpoint)

    def pull(self):
        self.attached(self.server.endpoint)
        return self.pagevault("other", "pull", "guest@image", "attached")

    def read(self, endpoint=None):
        self.attached(endpoint or self.server.endpoint)
        out = self.bench.path("out")
        if os.path.exists(out):
            os.unlink(out)
        return self.pagevault("other", "export", "guest@image", out, "--disk", "vda", "--format", "raw")

    def peak(self, store, *words):
        """Bytes of memory."""
        said = run("/usr/bin/env", "python3", "-c",
                   "import resource, subprocess, sys\n"
                   "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
                   "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                   self.bench.pagevault, "--store", self.bench.path(store), *words, env=bucket.CREDENTIALS)
        return int(said) << 10


def run_bench(bench):
    result = Result()
    result.command("pagevault push guest@image s3://bench/NEW --endpoint http://127.0.0.1:PORT")
    result.command("curl --parallel --parallel-max 4 --aws-sigv4 … --upload-file PACK …   (bodies not signed)")
    result.command("pagevault pull guest@image attached, pagevault export guest@image OUT --disk vda --format raw")
    result.command("curl --parallel --parallel-max 4 --aws-sigv4 … --output FILE …")
    result.remark("Ceph's RGW and its OSD, in memory, run on the same machine, and take most of its processors' time. "
                  "The image is noise, so that packs have its size. Push, pull: packs are read and checked before they "
                  "are sent and after they came, pull syncs them, curl does neither. Export: on a host that has "
                  "nothing, by ranges of 1 MiB, decompressed, every chunk checked against its name.")
    image = bench.path("image")
    with open(image, "wb") as file:
        for _ in range(32 if bench.quick else 192):
            file.write(os.urandom(MIB))
    with bucket.Server(bench.path("ceph")) as server:
        moves = Moves(bench, server, image)
        runs = in_turns(bench.repeat, {"curl, up": moves.curl_put, "push": moves.push, "curl, down": moves.curl_get,
                                       "pull": moves.pull, "export": moves.read})
        push_peak = moves.peak("store", "push", "guest@image", "s3://bench/peak", "--endpoint", server.endpoint)
        moves.attached(server.endpoint)
        pull_peak = moves.peak("other", "pull", "guest@image", "attached")
        with bucket.Proxy(server, bench.path("proxy")) as proxy:
            moves.read(proxy.endpoint)
            requests = proxy.requests()
    rows = []
    for what, peer in (("curl, up", "curl, up"), ("push", "curl, up"), ("curl, down", "curl, down"),
                       ("pull", "curl, down"), ("export", "curl, down")):
        wall = [taken for taken, _ in runs[what]]
        ratio = statistics.median(wall) / statistics.median(taken for taken, _ in runs[peer])
        cpu = statistics.median(cpu for _, cpu in runs[what])
        rows.append([what, seconds(wall), f"{figure(ratio)} ×", f"{cpu:.2f} s" if cpu else ""])
        if what != peer:
            result.at_most(f"{what}: time of curl", ratio, BAR)
    result.table(f"{mib(moves.size)} in {len(moves.packs)} packs", ["", "time", "of curl", "CPU time"], rows)
    result.table("memory and requests", ["", ""], [
        ["push, peak memory", mib(push_peak)], ["pull, peak memory", mib(pull_peak)],
        ["requests of attach and export, for each MiB restored", figure(requests / (os.stat(image).st_size / MIB))]])
    return result
