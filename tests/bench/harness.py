# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all benches share: running and timing programs, sizes of folders, and results as tables.

A bench is a module bench_NAME with TITLE, NEEDS_LAB and run(bench) -> Result. All that is compared is measured in one
run, in turns: A B C A B C A B C, so that a machine that is slower for a while is slower for all of them.
"""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Bench:
    """One run: sizes (quick or full), how often, where the programs and the scratch folder are."""

    def __init__(self, quick, repeat, build, scratch):
        self.quick = quick
        self.repeat = repeat
        self.build = build
        self.scratch = scratch
        self.pagevault = os.path.join(build, "src/cli/pagevault")

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def fresh(self, name):
        """An empty folder of that name."""
        path = self.path(name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path, 0o700)
        return path

    def tool(self, name):
        """A program of tests/bench that the build made."""
        return os.path.join(self.build, "tests/bench", name)

    def can_create(self):
        return "\n  create " in run(self.pagevault, "--help")

    def say(self, text):
        print(f"  {text}", file=sys.stderr, flush=True)


class Result:
    """The outcome of a bench: tables, bars with their verdicts, remarks. Plain data, to be carried as JSON."""

    def __init__(self, **data):
        self.tables = data.get("tables", [])       # {"caption", "head", "rows"}
        self.verdicts = data.get("verdicts", [])   # {"what", "measured", "bar", "met"}
        self.commands = data.get("commands", [])
        self.remarks = data.get("remarks", [])

    def table(self, caption, head, rows):
        self.tables.append({"caption": caption, "head": head, "rows": [[str(cell) for cell in row] for row in rows]})

    def at_most(self, what, ratio, bar, unit=" ×"):
        """A bar that is met when the ratio is not larger."""
        self.verdicts.append({"what": what, "measured": figure(ratio) + unit, "bar": f"≤ {figure(bar)}{unit}",
                              "met": ratio <= bar})

    def at_least(self, what, ratio, bar, unit=" ×"):
        self.verdicts.append({"what": what, "measured": figure(ratio) + unit, "bar": f"≥ {figure(bar)}{unit}",
                              "met": ratio >= bar})

    def command(self, text):
        self.commands.append(text)

    def remark(self, text):
        self.remarks.append(text)


def figure(number):
    """Three digits, no exponent."""
    if number == 0 or abs(number) >= 100:
        return f"{number:.0f}"
    text = f"{number:.3g}"
    return text if "e" not in text else f"{number:.6f}".rstrip("0")


def mib(size):
    return f"{figure(size / MIB)} MiB"


def kib(size):
    return f"{size / KIB:.1f} KiB"


def seconds(times):
    """Median, and in brackets the fastest and the slowest."""
    return f"{statistics.median(times):.2f} s ({min(times):.2f}–{max(times):.2f})"


def spread(values, unit):
    return f"{figure(statistics.median(values))} {unit} ({figure(min(values))}–{figure(max(values))})"


def run(*argv, env=None, stdin_text="", **options):
    """Runs a program that must succeed; its standard output, or what it said when it failed."""
    done = subprocess.run(argv, env=None if env is None else {**os.environ, **env}, input=stdin_text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise RuntimeError(f"{os.path.basename(argv[0])} {' '.join(argv[1:3])} …: status {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def cpu_of_children():
    """Seconds of CPU time of all programs that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(*argv, **options):
    """Seconds that the program took, and seconds of CPU time that it used. What others wrote before is on disk before
    the clock starts."""
    os.sync()
    before = cpu_of_children()
    start = time.monotonic()
    run(*argv, **options)
    return time.monotonic() - start, cpu_of_children() - before


def in_turns(repeat, candidates):
    """candidates: name -> function; gives name -> list of what the function gave."""
    times = {name: [] for name in candidates}
    for _ in range(repeat):
        for name, function in candidates.items():
            times[name].append(function())
    return times


def files_under(path):
    for folder, _, names in os.walk(path):
        for name in names:
            yield os.path.join(folder, name)


def disk_usage(path):
    """Bytes that the folder takes on disk, as du counts them."""
    return int(run("du", "--summarize", "--block-size=1", path).split()[0])


def store_parts(store):
    """Bytes of the files of a store: packs, snapshots, index (with its filter), other."""
    parts = {"packs": 0, "snapshots": 0, "index": 0, "other": 0}
    for path in files_under(store):
        top = os.path.relpath(path, store).split("/")[0]
        part = top if top in ("packs", "snapshots") else "index" if top.startswith(("index", "filter")) else "other"
        parts[part] += os.stat(path).st_size
    return parts


def columns(head, rows):
    """A table as aligned text: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [head] + rows) for i in range(len(head))]
    lines = []
    for line in [head, ["-" * width for width in widths]] + rows:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
