"""A gate: the real `postern` with its real sidecar, guests and small models, on its own folder.

Owns the processes and the folder; both end with the fixture, the processes also when pytest is
killed. The programs come from `POSTERN_TARGET` (cargo's build folder), or the repository's own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import weights

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("POSTERN_TARGET") or REPOSITORY / "target")
# For a start on a busy machine, where components are compiled; no test waits for it to pass.
START_S = 180.0
UNLIMITED = ("--requests", "0", "--in-flight", "0", "--quota-per-day", "0")
# Two requests at once, then one every three seconds.
NARROW = ("--requests", "1", "--period-secs", "3", "--burst", "2", "--in-flight", "0")


def program(name: str) -> Path:
    path = TARGET / "debug" / name
    assert path.is_file(), f"{path} is missing: run cargo xtask test"
    return path


class Gate:
    """A running gate, with the key of a tenant without limits and of a narrow one."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="postern-python-")
        self.folder = Path(self._temporary.name)
        self.operator_key = self._cli("init")
        weights.install(self.folder / "data/weights")
        self._cli("plan", "set", "open", *UNLIMITED)
        self._cli("plan", "set", "narrow", *NARROW)
        self.key = self._tenant("python", "open")
        self.narrow_key = self._tenant("narrow", "narrow")
        self._gather_components()
        log = (self.folder / "host.log").open("ab")
        with log:
            self._host = subprocess.Popen(
                [
                    # Linux ends the host with pytest, and the sidecar ends with its host.
                    "setpriv",
                    "--pdeathsig=TERM",
                    program("postern"),
                    "serve",
                    "--listen=127.0.0.1:0",
                    f"--data={self.folder / 'data'}",
                    f"--components={self.folder / 'components'}",
                    f"--address-file={self.folder / 'address'}",
                    f"--sidecar={program('postern-sidecar')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.address = self._ready()
        self.url = f"http://{self.address}"

    def close(self) -> None:
        self._host.terminate()
        try:
            self._host.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        self._temporary.cleanup()

    def log(self) -> str:
        return (self.folder / "host.log").read_text(errors="replace")

    def _cli(self, *arguments: str) -> str:
        command = [str(program("postern")), *arguments, "--data", str(self.folder / "data")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout.strip()

    def _tenant(self, tenant: str, plan: str) -> str:
        self._cli("tenant", "create", tenant, "--plan", plan)
        return self._cli("key", "create", "--tenant", tenant)

    def _gather_components(self) -> None:
        components = self.folder / "components"
        components.mkdir()
        guests = TARGET / "guests"
        assert (guests / "auth.wasm").is_file(), f"{guests} is empty: run cargo xtask guests"
        for guest in guests.glob("*.wasm"):
            (components / guest.name).symlink_to(guest)

    def _ready(self) -> str:
        file, end = self.folder / "address", time.monotonic() + START_S
        while time.monotonic() < end:
            assert self._host.poll() is None, f"the host ended at its start:\n{self.log()}"
            address = file.read_text() if file.exists() else ""
            if address and _is_good(f"http://{address}/readyz"):
                return address
            time.sleep(0.05)
        raise AssertionError(f"the gate is not ready after {START_S} s:\n{self.log()}")


def _is_good(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
