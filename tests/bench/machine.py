# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a reader must know about the machine to make sense of numbers. No names, no addresses, no folders."""
import os
import platform
import re
import shutil
import subprocess


def first_line(*argv):
    if shutil.which(argv[0]) is None:
        return None
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace").strip()
    return text.split("\n")[0] if text else None


def version_of(*argv):
    found = re.search(r"\d+(\.\d+)*", first_line(*argv) or "")
    return found.group(0) if found else "not installed"


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return f"{os.cpu_count()} × {' '.join(found.group(1).split()) if found else platform.machine()}"


def memory():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return f"{int(re.search(r'MemTotal: *([0-9]+)', file.read()).group(1)) / (1 << 20):.0f} GiB"


def distribution():
    return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")


def flags():
    """The CPU features that hashing and copying depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^flags\s*: (.*)$", file.read(), re.M)
    present = set(found.group(1).split()) if found else set()
    return ", ".join(name for name in ("sha_ni", "avx2", "avx512f") if name in present) or "none of interest"


def facts(scratch):
    """Pairs of what and value."""
    return [
        ("CPU", f"{cpu()} ({flags()})"),
        ("memory", memory()),
        ("file system", first_line("stat", "--file-system", "--format=%T", scratch)),
        ("distribution", distribution()),
        ("kernel", platform.release().split("-")[0]),
        ("QEMU", version_of("qemu-system-x86_64", "--version")),
        ("libvirt", version_of("libvirtd", "--version")),
        ("restic", version_of("restic", "version")),
        ("borg", version_of("borg", "--version")),
        ("casync", version_of("casync", "--version")),
        ("compiler", version_of("gcc", "--version")),
    ]


def load():
    return f"{os.getloadavg()[0]:.1f}"
