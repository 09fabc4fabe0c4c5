# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory images made up from documented shares, the same every time on the same machine.

mix(): the memory of a guest that works: runs of 1 to 64 pages, each run of one kind:

  30 %  zero           never used, or cleared
  45 %  files          pages of programs, libraries and documents under /usr, as a page cache holds them
   8 %  heap           records with pointers, counters and short words
   5 %  repeated       pages that lie elsewhere in the image as well
  12 %  random         what is compressed or encrypted already

It is written as a QEMU migration stream with one block of RAM, which is what virsh save writes, too.
"""
import os
import random
import struct

PAGE = 4096
SHARES = [("zero", 30), ("files", 45), ("heap", 8), ("repeated", 5), ("random", 12)]
ZERO = bytes(PAGE)


def usr_files():
    """Regular files under /usr, in an order of their own, so that kinds are mixed."""
    found = []
    for top in ("/usr/bin", "/usr/lib", "/usr/share", "/usr/include"):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                    found.append(path)
    random.Random(7).shuffle(found)
    return found


def file_pages():
    """Pages as a page cache holds them: the last of a file filled up with zeros. Begins again at the end."""
    files = usr_files()
    while True:
        for path in files:
            with open(path, "rb") as file:
                while page := file.read(PAGE):
                    yield page.ljust(PAGE, b"\0")


def heap_page(rng, number):
    """64 records: two pointers into one region, a counter, a flag, a short word."""
    base = 0x7F0000000000 + (number << 20)
    words = (b"node", b"string", b"request", b"session")
    return b"".join(
        struct.pack("<QQQI12s24x", base + rng.randrange(1 << 16) * 16, base + rng.randrange(1 << 16) * 16,
                    number * 64 + i, rng.randrange(4), words[rng.randrange(4)]) for i in range(64))


class Mix:
    def __init__(self, n_pages, seed=1):
        self.n_pages = n_pages
        self.rng = random.Random(seed)
        self.files = file_pages()
        self.kept = []   # some earlier pages, to be repeated

    def page(self, kind, number):
        if kind == "zero":
            return ZERO
        if kind == "files":
            page = next(self.files)
        elif kind == "heap":
            page = heap_page(self.rng, number)
        elif kind == "random":
            page = self.rng.randbytes(PAGE)
        else:
            return self.rng.choice(self.kept) if self.kept else ZERO
        if number % 97 == 0 and len(self.kept) < 4096:
            self.kept.append(page)
        return page

    def pages(self):
        kinds, weights = zip(*SHARES)
        number = 0
        while number < self.n_pages:
            kind = self.rng.choices(kinds, weights)[0]
            for _ in range(min(self.rng.randint(1, 64), self.n_pages - number)):
                yield self.page(kind, number)
                number += 1


def write_raw(path, pages):
    with open(path, "wb") as file:
        for page in pages:
            file.write(page)


def write_stream(path, pages, n_pages):
    """The pages as the RAM of a guest: header, machine, one RAM section, end, an empty description."""
    name, size, section = b"pc.ram", n_pages * PAGE, 2
    footer = struct.pack(">BI", 0x7E, section)
    with open(path, "wb") as file:
        machine = b"pc-i440fx-7.2"
        file.write(b"QEVM" + struct.pack(">IBI", 3, 7, len(machine)) + machine)
        file.write(struct.pack(">BIB3sII", 1, section, 3, b"ram", 0, 4))
        file.write(struct.pack(">QB", size | 4, len(name)) + name + struct.pack(">Q", size))
        file.write(struct.pack(">Q", 0x10) + footer)
        file.write(struct.pack(">BI", 2, section))
        head = struct.Struct(">Q")
        for number, page in enumerate(pages):
            flags = (0x02 if page == ZERO else 0x08) | (0x20 if number else 0)
            file.write(head.pack(number * PAGE | flags))
            if not number:
                file.write(bytes([len(name)]) + name)
            file.write(b"\0" if page == ZERO else page)
        file.write(head.pack(0x10) + footer)
        file.write(struct.pack(">BIQ", 3, section, 0x10) + footer)
        file.write(b"\0" + struct.pack(">BI", 6, 2) + b"{}")
