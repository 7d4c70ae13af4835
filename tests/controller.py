# SPDX-License-Identifier: BSD-3-Clause
"""A real SLURM controller with two nodes on loopback, private to a run of the tests.

munged, slurmctld and one slurmd for each node run as the present user, with their key, socket,
configuration, state and logs in one folder; nothing of the system's own SLURM is read or changed.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "scontrol", "scancel", "squeue", "sbcast")
#: CPUs that the nodes say they have; jobs of the tests are small. n2 is taken first.
CPUS = 4

_CONFIGURATION = """\
ClusterName=insitu
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=1,bf_interval=1
ReturnToService=1
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=5
MinJobAge=3600
FirstJobId={first}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory=2000 Weight=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory=2000 Weight=1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class ControllerError(Exception):
    """The controller cannot be had here; the message says why."""


def missing() -> list[str]:
    """Return which programs of SLURM and munge are not installed."""
    return [name for name in (*DAEMONS, *CLIENTS) if not shutil.which(name, path=SBIN)]


class Controller:
    """A running controller; `stop` ends its daemons, and only those.

    Parameters
    ----------
    folder
        An empty folder, whose path other users may enter (munge wants that).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            k: v for k, v in os.environ.items()
            if not k.startswith(("SLURM_", "SBATCH_", "INSITU_", "PMI_", "OMPI_", "PYTHON"))
        } | {"SLURM_CONF": str(folder / "slurm.conf")}  # fmt: skip
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        folder, host = self.folder, socket.gethostname().split(".")[0]
        for name in ("munge", "state", "spool/n1", "spool/n2"):
            (folder / name).mkdir(parents=True)
        (folder / "munge").chmod(0o711)
        (folder / "munge/key").write_bytes(os.urandom(1024))
        (folder / "munge/key").chmod(0o400)
        text = _CONFIGURATION.format(
            host=host,
            ports=_free_ports(3),
            folder=folder,
            cpus=CPUS,
            user=user(),
            # Numbers that no controller had before: MPICH names its shared memory by them, and what a
            # killed job left would be taken for another's.
            first=int(time.time()) % 10_000_000,
        )
        (folder / "slurm.conf").write_text(text)
        names = ("key-file=key", "socket=socket", "pid-file=pid", "log-file=log", "seed-file=seed")
        self._daemon("munged", *[f"--{n.replace('=', f'={folder}/munge/')}" for n in names])
        self._daemon("slurmctld", "-f", f"{folder}/slurm.conf")
        for node in ("n1", "n2"):
            self._daemon("slurmd", "-N", node, "-f", f"{folder}/slurm.conf")
        self.wait(lambda: self._states() == {"n1": "idle", "n2": "idle"}, "idle nodes", 30)

    def _daemon(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=SBIN)
        if program is None:
            raise ControllerError(f"{name} is not installed: run `make hosts`")
        done = subprocess.run(
            [program, *arguments], env=self.environment, capture_output=True, text=True,
            timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise ControllerError(
                f"{name} did not start (code {done.returncode}): {done.stderr.strip()}\n{self.logs()}"
            )

    def _states(self) -> dict[str, str]:
        text = self.call("sinfo", "-h", "-N", "-o", "%N %t", check=False)
        return dict(line.split() for line in text.splitlines() if len(line.split()) == 2)

    def logs(self) -> str:
        """Return the end of every daemon's log."""
        found = [*sorted(self.folder.glob("slurm*.log")), self.folder / "munge/log"]
        parts = [
            f"--- {p.name}\n" + "\n".join(p.read_text(errors="replace").splitlines()[-15:])
            for p in found if p.exists()
        ]  # fmt: skip
        return "\n".join(parts)

    def stop(self) -> None:
        """Cancel the jobs and end the daemons that this controller started."""
        if (self.folder / "slurmctld.pid").exists():
            self.call("scancel", "--signal=KILL", "--full", "-u", user(), check=False)
            self.call("scancel", "-u", user(), check=False)
        for file in ("slurmd.n1.pid", "slurmd.n2.pid", "slurmctld.pid", "munge/pid"):
            path = self.folder / file
            if path.exists() and (text := path.read_text().strip()).isdigit():
                _end(int(text), str(self.folder))

    # --- jobs ----------------------------------------------------------------------------------

    def call(
        self, *command: str, check: bool = True, cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Run a client of SLURM, or any program in its environment; return what it prints."""
        done = subprocess.run(
            command, env=self.environment | dict(environment or {}), capture_output=True, text=True,
            timeout=60, check=False, cwd=cwd, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}{done.stdout}\n{self.logs()}")
        return done.stdout

    def field(self, job: str, name: str) -> str:
        """Return a field of `scontrol show job`."""
        text = self.call("scontrol", "show", "job", "-o", job)
        found = re.search(rf"(?:^|\s){name}=(\S+)", text)
        assert found is not None, text
        return found[1]

    def state(self, job: str) -> str:
        """Return the state of a job, as RUNNING."""
        return self.field(job, "JobState")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 400) -> None:
        """Wait until something is so; fail with the daemons' logs if it does not come."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise ControllerError(f"waited {seconds:g} s for {what}\n{self.logs()}")
            time.sleep(0.1)

    def ended(self, job: str, seconds: float = 400) -> str:
        """Wait until a job has ended and its processes are gone; return its state."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        self.wait(lambda: self.state(job) in over, f"the end of job {job}", seconds)
        return self.state(job)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def user() -> str:
    """Return the present user, who owns the daemons and the jobs."""
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _end(pid: int, folder: str) -> None:
    """End a daemon of ours: its command line or open files name our folder."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if folder not in text:
            return
        os.kill(pid, 15)
        for _ in range(50):
            time.sleep(0.1)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # ended; whoever is to collect it has not yet
        os.kill(pid, 9)
    except (ProcessLookupError, FileNotFoundError):
        return


if __name__ == "__main__":  # by hand: python tests/controller.py FOLDER, then export SLURM_CONF
    here = Path(sys.argv[1]).resolve()
    controller = Controller(here)
    print(f"export SLURM_CONF={here}/slurm.conf")
    print(f"end it with: kill $(cat {here}/*.pid {here}/munge/pid)")
