# SPDX-License-Identifier: LGPL-2.1-or-later
"""lazy: how soon a restored guest runs, and how soon it answers."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import time

import guests
from harness import Result, figure, in_turns, run, spread

TITLE = "Lazy restore"
NEEDS_LAB = True

NAME = "lazy"
WORK_MIB = 8   # what the guest touches for its first answer: always the same pages
OURS, OURS_KNOWN, VIRSH = "pagevault restore", "… with the working set", "virsh restore"


def console_path():
    xml = run("virsh", "dumpxml", NAME)
    with subprocess.Popen(["xmllint", "--xpath", "string(/domain/devices/serial/source/@path)", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as xmllint:
        return xmllint.communicate(xml.encode())[0].decode().strip()


def first_answer(path, tag):
    """Until the guest has rewritten its working set and said so. What was said to a guest that was not listening yet is
    said again."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        line.settimeout(10)
        said, wanted = b"", f"ORACLE #{tag} dirty".encode()
        line.sendall(f"\n#{tag} dirty {WORK_MIB}\n".encode())
        while wanted not in said:
            try:
                said += line.recv(4096)
            except socket.timeout:
                line.sendall(f"\n#{tag} dirty {WORK_MIB}\n".encode())


class Restores:
    """Each brings the same guest back from the same instant, and takes it away again."""

    def __init__(self, bench, store, image, console):
        self.bench, self.store, self.image, self.console = bench, store, image, console
        self.n = 0
        self.demand = {OURS: [], OURS_KNOWN: []}   # pages, microseconds for each

    def measured(self, *argv):
        """Milliseconds until the command has come back, and until the guest has answered."""
        self.n += 1
        start = time.monotonic()
        run(*argv)
        running = time.monotonic()
        first_answer(self.console, f"bench{self.n}")
        return 1000 * (running - start), 1000 * (time.monotonic() - start)

    def virsh(self):
        times = self.measured("virsh", "restore", self.image)
        run("virsh", "destroy", NAME)
        return times

    def pagevault(self, way):
        disks = guests.disks("new")
        os.makedirs(disks, 0o711, exist_ok=True)
        times = self.measured(self.bench.pagevault, "--store", self.store, "restore", f"{NAME}@bench", "--disks-dir",
                              disks)
        self.demand[way].append(self.wait_whole())
        if way == OURS_KNOWN:
            run(guests.LAB, "check", NAME)   # every page is right
        run("virsh", "destroy", NAME)
        shutil.rmtree(disks)
        return times

    def wait_whole(self):
        """Until all memory is there; pages that were asked for, and microseconds for each."""
        pagers, seen = os.path.join(self.store, "pagers"), (0, 0)
        while states := [name for name in os.listdir(pagers) if "." not in name]:
            try:
                with open(os.path.join(pagers, states[0], "status.json"), encoding="utf-8") as file:
                    status = json.load(file)
                if status["pages_on_demand"]:
                    seen = (status["pages_on_demand"], status["demand_us"] / status["pages_on_demand"])
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.02)
        return seen

    def unknown(self):
        shutil.rmtree(os.path.join(self.store, "working-sets"), ignore_errors=True)
        return self.pagevault(OURS)

    def known(self):
        return self.pagevault(OURS_KNOWN)


def measure(bench, memory):
    """name -> list of (running, answered), and what was asked for."""
    with guests.Guest(NAME, memory, files=min(memory // 8, 64), oracle=memory // 2,
                      options=("--disk-size", "16M")) as guest:
        guest.settle()
        store = bench.fresh("store")
        guest.create(bench, store, "bench", "--engine", "paused")
        console = console_path()
        restores = Restores(bench, store, guest.save(), console)
        times = in_turns(bench.repeat, {VIRSH: restores.virsh, OURS: restores.unknown, OURS_KNOWN: restores.known})
        os.unlink(restores.image)
    shutil.rmtree(store)
    return times, restores.demand


def run_bench(bench):
    result, rows, running, answered = Result(), [], {}, {}
    if not bench.can_create():
        raise RuntimeError("this build has no 'create'")
    sizes = [int(size) for size in os.environ["PAGEVAULT_BENCH_MIB"].split()] if "PAGEVAULT_BENCH_MIB" in os.environ \
        else [256, 512] if bench.quick else [512, 1024, 2048, 4096]
    result.command(f"virsh restore {NAME}.save")
    result.command(f"pagevault restore {NAME}@bench")
    result.remark("An emulated guest with one vCPU and a disk of 16 MiB, half of its memory filled with pages that do "
                  "not compress. 'runs': from the start of the command to its end. 'answers': until the guest, asked at "
                  f"that moment, has rewritten {WORK_MIB} MiB, always the same pages, and said so. The rest of the "
                  "memory comes behind it without a limit. 'on demand': pages that the guest asked for until all of "
                  "its memory was there, and the time from the pager's seeing a request to the page in the channel, "
                  "on average. Then the guest checks every page. Sizes: PAGEVAULT_BENCH_MIB.")
    with guests.lab():
        for memory in sizes:
            times, demand = measure(bench, memory)
            for way, pairs in times.items():
                running[way, memory] = statistics.median(pair[0] for pair in pairs)
                answered[way, memory] = statistics.median(pair[1] for pair in pairs)
                asked = demand.get(way, [])
                rows.append([f"{memory} MiB, {way}", spread([pair[0] for pair in pairs], "ms"),
                             spread([pair[1] for pair in pairs], "ms"),
                             spread([pages for pages, _ in asked], "pages") if asked else "",
                             spread([each for _, each in asked], "µs") if asked else ""])
            bench.say(f"{memory} MiB: runs after {figure(running[OURS, memory])} ms, virsh "
                      f"{figure(running[VIRSH, memory])} ms")
    result.table("lazy", ["guest", "runs", "answers", "on demand", "each"], rows)
    last, first = sizes[-1], sizes[0]
    result.at_most(f"{last} MiB: runs, of virsh restore", running[OURS, last] / running[VIRSH, last], 0.1)
    result.at_most(f"runs with {last // first} × the memory", running[OURS, last] / running[OURS, first], 1.5)
    result.at_most(f"{last} MiB: answers with the working set, of without",
                   answered[OURS_KNOWN, last] / answered[OURS, last], 1)
    return result
