# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool: virsh save into the pool and back beside a plain directory, and reads of a raw volume beside a plain file."""
import os
import random
import shutil
import signal
import statistics
import subprocess
import time

import guests
import images
from harness import MIB, Result, disk_usage, figure, files_under, in_turns, mib, run, seconds, spread

TITLE = "The store as a libvirt pool"
NEEDS_LAB = True

NAME = "pool"
POOL = "/var/lib/libvirt/pagevault"
HOOKS = "/etc/libvirt/hooks/qemu.d"
N_READS = 4096   # random ones, of 4 KiB
PLAIN, NEW, KNOWN = "a plain directory", "the pool, all is new", "the pool, all but little is known"


class Daemon:
    """pagevaultd over one store at a time."""

    def __init__(self, bench):
        self.program = os.path.join(bench.build, "src/daemon/pagevaultd")
        self.log = bench.path("pagevaultd.log")

    def pid(self):
        """There is no other in this lab."""
        found = subprocess.run(["pgrep", "-x", "pagevaultd"], stdout=subprocess.PIPE, check=False).stdout.split()
        return int(found[0]) if found else None

    def serve(self, store):
        """It comes back when all is ready."""
        run(self.program, "--store", store, "--libvirt-socket", "none", "--log", self.log)

    def stop(self):
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
        while self.pid() is not None:
            time.sleep(0.02)


def timed(*argv):
    os.sync()
    start = time.monotonic()
    run(*argv)
    return time.monotonic() - start


class Saves:
    """Each saves the guest and brings it back: seconds, seconds, bytes that it added to the disk."""

    def __init__(self, bench, daemon):
        self.bench, self.daemon = bench, daemon
        self.store = bench.path("store")
        self.n = 0

    def there_and_back(self, path, folder):
        before = disk_usage(folder)
        saved = timed("virsh", "save", NAME, path)
        os.sync()
        size = disk_usage(folder) - before
        return saved, timed("virsh", "restore", path), size

    def plain(self):
        folder = guests.disks("plain")
        os.makedirs(folder, 0o711)
        found = self.there_and_back(os.path.join(folder, f"{NAME}.save"), folder)
        shutil.rmtree(folder)
        return found

    def known(self):
        self.n += 1
        return self.there_and_back(f"{POOL}/{NAME}@s{self.n}.save", self.store)

    def new(self):
        self.daemon.stop()
        self.daemon.serve(self.bench.fresh("store"))
        return self.known()


def forget(*paths):
    """What the page cache has of these files."""
    os.sync()
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path):
    """MiB a second."""
    size = os.stat(path).st_size
    start = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while file.read(MIB):
            pass
    return size / MIB / (time.monotonic() - start)


def read_here_and_there(path):
    """Microseconds for each."""
    choose, size = random.Random(5), os.stat(path).st_size
    start = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        for _ in range(N_READS):
            os.pread(file.fileno(), 4096, choose.randrange(size // 4096) * 4096)
    return 1e6 * (time.monotonic() - start) / N_READS


class Reads:
    """The same disk as a file and in the pool, nothing of it in memory."""

    def __init__(self, bench, daemon, size):
        self.daemon = daemon
        self.file, self.store = bench.path("disk"), bench.fresh("disks")
        images.write_raw(self.file, images.Mix(size // 4096).pages())
        run(bench.pagevault, "--store", self.store, "import", self.file, "--name", "vol@a")

    def plain(self, reader):
        forget(self.file)
        return reader(self.file)

    def pool(self, reader):
        self.daemon.stop()
        forget(*files_under(self.store))
        self.daemon.serve(self.store)
        return reader(f"{POOL}/vol@a.vda.raw")

    def candidates(self):
        return {(place, way): (lambda function=function, reader=reader: function(reader))
                for place, function in (("file", self.plain), ("pool", self.pool))
                for way, reader in (("through", read_through), ("random", read_here_and_there))}


def measure_saves(bench, daemon, memory, result):
    with guests.Guest(NAME, memory, files=memory // 8, oracle=memory // 2, options=("--disk-size", "16M")) as guest:
        guest.settle()
        saves = Saves(bench, daemon)
        times = in_turns(bench.repeat, {PLAIN: saves.plain, NEW: saves.new, KNOWN: saves.known})
        run(guests.LAB, "check", NAME)   # every page is right
    rows = [[place, seconds([one[0] for one in each]), seconds([one[1] for one in each]),
             mib(statistics.median(one[2] for one in each))] for place, each in times.items()]
    result.table(f"a guest of {memory} MiB", ["into", "virsh save", "virsh restore", "on disk"], rows)
    for place in (NEW, KNOWN):
        ratios = [statistics.median(one[i] for one in times[place]) / statistics.median(one[i] for one in times[PLAIN])
                  for i in (0, 1)]
        result.remark(f"{place}: virsh save takes {figure(ratios[0])} × as long as into a plain directory, virsh "
                      f"restore {figure(ratios[1])} ×.")


def measure_reads(bench, daemon, size, result):
    reads = Reads(bench, daemon, size)
    found = in_turns(bench.repeat, reads.candidates())
    rows = [[name, spread(found[place, "through"], "MiB/s"), spread(found[place, "random"], "µs")]
            for place, name in (("file", "a plain file"), ("pool", "a volume of the pool"))]
    result.table(f"a raw disk of {size // MIB} MiB", ["read from", "front to back", "4 KiB anywhere"], rows)


def run_bench(bench):
    result = Result()
    memory, size = (256, 64 * MIB) if bench.quick else (1024, 1024 * MIB)
    result.command(f"virsh save {NAME} {POOL}/{NAME}@NAME.save")
    result.command(f"virsh restore {POOL}/{NAME}@NAME.save")
    result.remark("An emulated guest that is idle, half of its memory filled with pages that do not compress, an eighth "
                  "with files. 'all is new': into an empty store; 'known': the same guest once more. Into the pool the "
                  "guest's disks are saved as well, and all is on disk when virsh returns, which nobody sees to in a "
                  "plain directory. The restores are by stock virsh: all of the memory is read before the guest runs. "
                  f"The disk is the mix of tests/bench/images.py; it is read by one reader, {N_READS} times where it is "
                  "read anywhere, with nothing of it or of the store in the page cache, by a pagevaultd that has just "
                  "started.")
    os.makedirs(HOOKS, exist_ok=True)
    shutil.copy(os.path.join(bench.build, "hooks/pagevault-qemu-hook"), os.path.join(HOOKS, "pagevault"))
    daemon = Daemon(bench)
    with guests.lab():
        try:
            measure_saves(bench, daemon, memory, result)
            measure_reads(bench, daemon, size, result)
        finally:
            daemon.stop()
    return result
