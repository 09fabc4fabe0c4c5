# SPDX-License-Identifier: LGPL-2.1-or-later
"""bucket: a guest restored lazily out of Ceph that answers late, and what three hosts send there."""
import json
import os
import shutil
import time

import bucket
import guests
from bench_lazy import NAME, WORK_MIB, Restores, console_path
from harness import Result, figure, in_turns, mib, run, spread

TITLE = "Restore from the bucket, and hosts that share it"
NEEDS_LAB = True
DELAYS = (0, 20, 100)   # milliseconds before the first byte of each answer
WAYS = {"plain": "nothing known", "known": "with the working set"}


class FromBucket(Restores):
    """Each on a host that has nothing."""

    def __init__(self, bench, console, proxy, way):
        super().__init__(bench, "", "", console)
        self.proxy, self.way = proxy, way

    def restore(self):
        """Milliseconds until it ran, answered, had all its memory; pages on demand; requests."""
        self.store = self.bench.fresh("host")
        disks = guests.disks("new")
        os.makedirs(disks, 0o711, exist_ok=True)
        run(self.bench.pagevault, "--store", self.store, "attach", f"s3://bench/{self.way}", "--endpoint",
            self.proxy.endpoint)
        before, start = self.proxy.requests(), time.monotonic()
        runs, answers = self.measured(self.bench.pagevault, "--store", self.store, "restore", f"{NAME}@bench",
                                      "--disks-dir", disks)
        pages, _ = self.wait_whole()
        whole = 1000 * (time.monotonic() - start)
        requests = self.proxy.requests() - before
        run(guests.LAB, "check", NAME)   # every page is right
        run("virsh", "destroy", NAME)
        shutil.rmtree(disks)
        return runs, answers, whole, pages, requests


def push(bench, store, name, place, server):
    said = json.loads(run(bench.pagevault, "--store", store, "push", name, f"s3://bench/{place}", "--endpoint",
                          server.endpoint, "--json"))
    return said["pushed"][0]


def record_working_set(bench, console, server):
    """What a first restore asks for goes to the bucket with a push by that host."""
    with bucket.Proxy(server, bench.path("proxy")) as proxy:
        host = FromBucket(bench, console, proxy, "known")
        host.restore()
        run(bench.pagevault, "--store", host.store, "pull", f"{NAME}@bench", "attached")   # what is pushed is here
        push(bench, host.store, f"{NAME}@bench", "known", server)


def measure_restores(bench, server, result):
    memory = 256 if bench.quick else 512
    rows, answered = [], {}
    with guests.Guest(NAME, memory, files=memory // 8, oracle=memory // 2, options=("--disk-size", "16M")) as guest:
        guest.settle()
        store = bench.fresh("store")
        guest.create(bench, store, "bench", "--engine", "paused")
        console = console_path()
        size = sum(push(bench, store, f"{NAME}@bench", way, server)["sent_bytes"] for way in WAYS) // len(WAYS)
        run("virsh", "destroy", NAME)
        shutil.rmtree(store)
        record_working_set(bench, console, server)
        for delay in DELAYS:
            with bucket.Proxy(server, bench.path(f"proxy-{delay}"), delay) as proxy:
                hosts = {way: FromBucket(bench, console, proxy, way) for way in WAYS}
                times = in_turns(bench.repeat, {way: host.restore for way, host in hosts.items()})
            for way, runs in times.items():
                columns = list(zip(*runs))
                answered[way, delay] = sorted(columns[1])[len(runs) // 2]
                rows.append([f"{delay} ms, {WAYS[way]}"] + [spread(columns[i], "ms") for i in range(3)]
                            + [spread(columns[i], "") for i in (3, 4)])
            bench.say(f"{delay} ms: answers after {figure(answered['plain', delay])} ms, with the working set "
                      f"{figure(answered['known', delay])} ms")
    result.table(f"lazily out of the bucket: a guest of {memory} MiB, {mib(size)} in the bucket",
                 ["first byte after", "runs", "answers", "all its memory", "pages on demand", "requests"], rows)
    for delay in DELAYS:
        result.at_most(f"{delay} ms: answers with the working set, of without",
                       answered["known", delay] / answered["plain", delay], 1)


def measure_sharing(bench, server, result):
    memory, rows = 256 if bench.quick else 512, []
    for number, part in enumerate((4, 3, 2)):
        name = f"host{number + 1}"
        with guests.Guest(name, memory, files=memory // 8, oracle=memory // 4 // part) as guest:
            store = bench.fresh(name)
            said = json.loads(guest.create(bench, store, "bench", "--engine", "paused"))
        pushed = push(bench, store, f"{name}@bench", "shared", server)
        rows.append([name, mib(said["ram_bytes"]), mib(said["stored_bytes"]), mib(pushed["sent_bytes"]),
                     f"{figure(pushed['sent_bytes'] / said['stored_bytes'])} ×", str(pushed["shared_packs"])])
        shutil.rmtree(store)
    result.table("three guests, each of a host and store of its own, pushed one after another",
                 ["guest", "memory", "stored by its host", "sent", "of stored", "packs of others"], rows)


def run_bench(bench):
    result = Result()
    os.environ.update(bucket.CREDENTIALS)   # pagers want them, too
    result.command("pagevault attach s3://bench/PLACE --endpoint http://127.0.0.1:PORT")
    result.command(f"pagevault restore {NAME}@bench")
    result.command("pagevault push HOST@bench s3://bench/shared --endpoint http://127.0.0.1:PORT --json")
    result.remark("Ceph's RGW and its OSD, in memory, on the same machine; before it a proxy in Python that holds back "
                  "each answer. Emulated guests with one vCPU. 'runs': from the start of the command to its end; "
                  f"'answers': until the guest, asked at that moment, has rewritten {WORK_MIB} MiB, always the same "
                  "pages, and said so; 'all its memory': until the pager has ended. Then the guest checks every page. "
                  "Each restore is on a host that has nothing but the list. The working set was recorded by one "
                  "restore before, and pushed.")
    result.remark("The three guests boot the same kernel with the same files in their page cache, an eighth of their "
                  "memory, and fill a sixteenth, a twelfth, an eighth of it with pages of their own that do not "
                  "compress.")
    with guests.lab(), bucket.Server(bench.path("ceph")) as server:
        measure_restores(bench, server, result)
        measure_sharing(bench, server, result)
    return result
