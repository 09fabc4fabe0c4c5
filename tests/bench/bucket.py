# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Ceph RGW of a bench's own (tests/fake/ceph), the proxy before it that counts and delays, and curl as a peer."""
import contextlib
import hashlib
import os
import shlex
import signal
import socket
import subprocess
import time

from harness import TOP, run

KEY, SECRET = "TESTKEY12345", "hush-hush/this+is=secret"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
PARALLEL = "4"


def free_ports(count):
    for first in range(21000, 31000, count):
        try:
            held = [socket.create_server(("127.0.0.1", port)) for port in range(first, first + count)]
        except OSError:
            continue
        for listener in held:
            listener.close()
        return first
    raise RuntimeError("no free ports")


class Server:
    """Runs from with to with."""

    def __init__(self, folder):
        self.folder, self.port, self.pids = folder, free_ports(10), []
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.pids = [int(pid) for pid in run(os.path.join(TOP, "tests/fake/ceph"), str(self.port), KEY, SECRET,
                                             self.folder).split()]
        for attempt in range(10):   # RGW makes its pools when it is first asked
            with contextlib.suppress(RuntimeError):
                self.curl([f'url = "{self.endpoint}/bench"', 'request = "PUT"', 'header = "Content-Length: 0"',
                           f'header = "x-amz-content-sha256: {hashlib.sha256(b"").hexdigest()}"'])
                return self
            time.sleep(1 + attempt)
        raise RuntimeError("no bucket can be made")

    def __exit__(self, *_):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def curl(self, lines):
        """One curl with that configuration, each of whose transfers is signed."""
        head = ["silent", "fail"]
        each = ['aws-sigv4 = "aws:amz:us-east-1:s3"', f'user = "{KEY}:{SECRET}"']
        config, block = head, []
        for line in lines + ["next"]:
            if line == "next":
                config = config + each + block + ["next"]
                block = []
            else:
                block.append(line)
        run("curl", "--parallel", "--parallel-max", PARALLEL, "--config", "-", stdin_text="\n".join(config[:-1]))

    def put(self, paths, prefix):
        lines = []
        for path in paths:
            lines += ["next"] * bool(lines) + [f'url = "{self.endpoint}/bench/{prefix}/{os.path.basename(path)}"',
                                               f'upload-file = "{path}"',
                                               'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"']
        self.curl(lines)

    def get(self, keys, folder):
        lines = []
        for key in keys:
            lines += ["next"] * bool(lines) + [f'url = "{self.endpoint}/bench/{key}"',
                                               f'output = "{folder}/{os.path.basename(key)}"',
                                               f'header = "x-amz-content-sha256: {hashlib.sha256(b"").hexdigest()}"']
        self.curl(lines)


class Proxy:
    """Before @server: counts requests, and answers after @delay milliseconds."""

    def __init__(self, server, folder, delay=0):
        self.server, self.folder, self.delay = server, folder, delay
        self.port = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "plan"), "w", encoding="utf-8") as file:
            file.write(f"delay-{self.delay} * 1000000000\n" if self.delay else "none * 0\n")
        command = [os.path.join(TOP, "tests/fake/fault-proxy"), str(self.port), str(self.server.port), self.folder]
        self.process = subprocess.Popen(command)   # pylint: disable=consider-using-with
        while not os.path.exists(os.path.join(self.folder, "ready")):
            if self.process.poll() is not None:
                raise RuntimeError(f"{shlex.join(command)} ended")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def requests(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as file:
            return sum(1 for _ in file)
