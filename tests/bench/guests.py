# SPDX-License-Identifier: LGPL-2.1-or-later
"""Oracle guests (tests/virt/lab) for benches: booted with a page cache full of real files, and watched from outside.

Only inside a lab (tests/virt/lab run …).
"""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time

import images
from harness import MIB, TOP, run

LAB = os.path.join(TOP, "tests/virt/lab")


def enlarge_pipe(fd):
    """As the qemu engine does: as large as it is allowed to be, at most 16 MiB."""
    size = 16 * MIB
    while size >= 128 << 10:
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
            return
        size //= 2


@contextlib.contextmanager
def lab():
    """libvirtd, for as long as it is needed."""
    run(LAB, "start")
    try:
        yield
    finally:
        run(LAB, "stop")


def disks(*parts):
    return os.path.join(os.environ["LAB_DIR"], "disks", *parts)


def with_folders(paths):
    """Relative to /, each after the folders that it lies in: the kernel makes none by itself."""
    known = set()
    for path in paths:
        parts = path.split("/")[1:]
        for i in range(1, len(parts)):
            folder = "/".join(parts[:i])
            if folder not in known:
                known.add(folder)
                yield folder
        yield path[1:]


def fill_initrd(size):
    """Makes guests boot with @size bytes of files from /usr in their memory. The archive is packed because the kernel
    fills its place with 0xcc afterwards."""
    shutil.copyfile(os.path.join(os.environ["LAB_GUEST"], "initrd.img"), disks("initrd.img"))
    if size == 0:
        return
    chosen = []
    for path in images.usr_files():
        length = os.stat(path).st_size
        if 0 < length <= size:
            chosen.append(path)
            size -= length + 256
    with open(disks("initrd.img"), "ab") as initrd:
        initrd.write(bytes(-initrd.tell() % 4))
        with subprocess.Popen(["cpio", "--quiet", "--create", "--format=newc", "--null"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, cwd="/") as cpio, \
                subprocess.Popen(["zstd", "-q", "-1", "--stdout"], stdin=cpio.stdout, stdout=initrd) as packer:
            cpio.stdout.close()
            cpio.stdin.write(b"".join(os.fsencode(path) + b"\0" for path in with_folders(chosen)))
            cpio.stdin.close()
        if cpio.returncode != 0 or packer.returncode != 0:
            raise RuntimeError("cannot make the archive of files for the guest")


class Guest:
    """A running oracle guest; destroyed when its `with` block ends."""

    def __init__(self, name, memory, files=0, oracle=64, options=()):
        """@memory, @files (page cache) and @oracle (self-checking pages): MiB."""
        self.name = name
        self.memory = memory
        fill_initrd(files * MIB)
        run(LAB, "guest", name, "--memory", str(memory), "--mem", str(oracle), "--disks", "raw", *options,
            env={"LAB_BOOT_SECONDS": "900"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        subprocess.run(["virsh", "destroy", self.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False)
        run("virsh", "undefine", self.name, "--snapshots-metadata")

    def console(self, command, wait=300):
        return run(LAB, "console", self.name, command, str(wait))

    def cpu(self):
        """Seconds of CPU time that QEMU has used."""
        with open(f"/run/libvirt/qemu/{self.name}.pid", encoding="ascii") as file:
            pid = file.read().strip()
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self, rate=0, tick=0, sweep=0):
        """What the guest does by itself: KiB/s dirtied, ms between ticks, KiB/s verified."""
        for setting in (f"rate {rate}", f"tick {tick}", f"sweep {sweep}"):
            self.console(setting)

    def stall_ms(self):
        """The longest time that the guest saw a vCPU not running since this was last asked."""
        return int(re.search(r"max_us=(\d+)", self.console("stall")).group(1)) / 1000

    def save(self):
        """The guest ends in a save image, whose path this is."""
        path = disks(f"{self.name}.save")
        run("virsh", "save", self.name, path)
        return path

    def create(self, bench, store, name, *options):
        """What 'pagevault create' says with --json."""
        return run(bench.pagevault, "--store", store, "create", self.name, name, "--json", *options)

    def monitor(self, command, arguments=None, fd=None):
        message = {"execute": command} if arguments is None else {"execute": command, "arguments": arguments}
        extra = [] if fd is None else ["--pass-fds", str(fd)]
        answer = json.loads(run("virsh", "qemu-monitor-command", self.name, *extra, json.dumps(message),
                                pass_fds=[] if fd is None else [fd]))
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def capability(self, state):
        self.monitor("migrate-set-capabilities",
                     {"capabilities": [{"capability": "background-snapshot", "state": state}]})

    def stream_to_cat(self):
        """Seconds of QEMU's background-snapshot stream into 'cat >/dev/null', from the command to the last byte."""
        reader, writer = os.pipe()
        enlarge_pipe(writer)
        with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL) as cat:
            os.close(reader)
            self.monitor("getfd", {"fdname": "bench"}, fd=writer)
            os.close(writer)
            self.capability(True)
            start = time.monotonic()
            self.monitor("migrate", {"uri": "fd:bench"})
            cat.wait()
            taken = time.monotonic() - start
        while self.monitor("query-migrate")["status"] not in ("completed", "failed"):
            time.sleep(0.05)
        status = self.monitor("query-migrate")["status"]
        self.capability(False)
        if status != "completed":
            raise RuntimeError(f"the stream into cat has {status}")
        if run("virsh", "domstate", self.name).strip() == "paused":
            run("virsh", "resume", self.name)
        return taken

    def pause_of(self, function):
        """Milliseconds from the first STOP to the last RESUME that QEMU reports while the function runs; its value."""
        with subprocess.Popen(["virsh", "qemu-monitor-event", self.name, "--loop"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as watch:
            time.sleep(0.5)
            value = function()
            time.sleep(0.5)
            watch.send_signal(signal.SIGINT)
            said = watch.communicate()[0].decode()
        stops = [float(x) for x in re.findall(r"event STOP at (\d+\.\d+)", said)]
        resumes = [float(x) for x in re.findall(r"event RESUME at (\d+\.\d+)", said)]
        if not stops or not resumes:
            raise RuntimeError(f"no pause was seen: {said!r}")
        return 1000 * (resumes[-1] - stops[0]), value
