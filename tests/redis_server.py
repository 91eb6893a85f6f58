"""A real Redis server on a free port, which tests may pause, kill and start again."""

import os
import shutil
import signal
import socket
import subprocess
import time

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """A server in a process of its own, without a disk.

    Attributes:
        url: Its address.
    """

    def __init__(self, folder, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process = None
        self.start()

    def start(self):
        """Start it, empty, and wait until it answers."""
        command = [PROGRAM, "--port", str(self.port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, *self._options], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.ask("PING") == b"+PONG\r\n":
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("redis-server did not come up")

    def ask(self, *words):
        """Send one command, and return the first piece of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw:
            raw.sendall(f"{' '.join(words)}\r\n".encode())
            return raw.recv(65_536)

    def kill(self):
        """Let it end without a word."""
        self._process.kill()
        self._process.wait()

    def pause(self):
        """Let it hang: it is there, and does not answer."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self):
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)
