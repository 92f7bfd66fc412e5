"""The Docker lab: usertcp in one container, a kernel's TCP in the other, and each calls the other."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first test waits for the images to be built

ROOT = Path(__file__).parents[2]
REQUEST = r"GET / HTTP/1.1\r\nHost: peer\r\n\r\n"
MEGABYTE = bytes(range(256)) * 4096


def run(*command: str, data: bytes = b"", status: int = 0, timeout: float = 60) -> bytes:
    """Standard output of a command, which must end with *status*."""
    done = subprocess.run(command, cwd=ROOT, input=data, capture_output=True, timeout=timeout, check=False)
    assert done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stderr.decode()[-4000:]}"
    return done.stdout


class Lab:
    """The services of docker-compose.yml, in a project of their own."""

    def __init__(self) -> None:
        v2 = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        self.compose = [*(["docker", "compose"] if v2 else ["docker-compose"]), "--project-name", "usertcp-test"]

    def peer(self, *command: str, data: bytes = b"") -> bytes:
        """Run a command beside the peer's servers."""
        return run(*self.compose, "exec", "-T", "peer", *command, data=data)

    def endpoint(self, *arguments: str, data: bytes = b"", status: int = 0) -> bytes:
        """Run `usertcp` to its end, in a container of its own."""
        return run(*self.compose, "run", "--rm", "-T", "endpoint", *arguments, data=data, status=status)

    @contextmanager
    def listening(self, *arguments: str) -> Iterator[None]:
        """Have a `usertcp listen` running that the peer knows as "endpoint"."""
        listen = ("run", "--detach", "-T", "--use-aliases", "endpoint", "listen", *arguments)
        container = run(*self.compose, *listen).decode().split()[-1]
        try:
            logs = ("docker", "logs", "--follow", container)
            with subprocess.Popen(logs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as following:
                said = []
                for line in following.stdout or ():
                    said.append(line)
                    if line.startswith("usertcp: listening"):
                        break
                else:
                    pytest.fail(f"not listening: {''.join(said)}")
                following.terminate()
            yield
        finally:
            run("docker", "rm", "--force", container)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab()
    remove = (*lab.compose, "down", "--volumes", "--remove-orphans")
    run(*remove)  # what a killed run has left
    try:
        run(*lab.compose, "build", timeout=800)
        run(*lab.compose, "up", "--detach", "peer")
        yield lab
    finally:
        run(*remove)


def test_endpoint_has_no_capability_but_two(lab: Lab) -> None:
    command = ("--entrypoint", "grep", "endpoint", "CapBnd", "/proc/self/status")
    capabilities = run(*lab.compose, "run", "--rm", "-T", *command)
    net_admin, net_raw = 12, 13
    assert int(capabilities.split()[-1], 16) == 1 << net_admin | 1 << net_raw


def test_handshake_with_nginx_exchange_and_teardown(lab: Lab) -> None:
    said = lab.endpoint("handshake", "peer", "80", "--send", REQUEST, "--msl", "0.5", "--json")
    *records, summary = [json.loads(line) for line in said.splitlines()]
    assert summary["type"] == "summary"
    assert summary["outcome"] == "closed"
    opening, closing = ["CLOSED", "SYN-SENT", "ESTABLISHED"], ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]
    assert summary["states"] == opening + closing
    assert summary["received"] > 600
    assert not [record for record in records if "RST" in record.get("flags", ())]


def test_ladder_shows_the_exchange(lab: Lab) -> None:
    ladder = lab.endpoint("handshake", "peer", "80", "--send", REQUEST, "--msl", "0.5").decode()
    assert "HTTP/1.1 200 OK" in ladder
    assert [word for word in ("SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "TIME-WAIT") if word not in ladder] == []


def test_page_of_nginx_arrives_whole(lab: Lab) -> None:
    page = lab.endpoint("connect", "peer", "80", data=b"GET / HTTP/1.0\r\n\r\n")
    assert page.partition(b"\r\n\r\n")[2] == lab.peer("curl", "--silent", "http://localhost/")


def test_megabyte_comes_back_from_the_peers_echo(lab: Lab) -> None:
    assert lab.endpoint("connect", "peer", "7", data=MEGABYTE) == MEGABYTE


def test_megabyte_goes_to_the_peers_discard(lab: Lab) -> None:
    assert lab.endpoint("connect", "peer", "9", data=MEGABYTE) == b""


def test_closed_port_is_refused(lab: Lab) -> None:
    said = lab.endpoint("handshake", "peer", "81", "--json", status=1)
    assert json.loads(said.splitlines()[-1])["outcome"] == "refused"


def test_curl_in_the_peer_fetches_from_endpoint(lab: Lab) -> None:
    with lab.listening("8080", "--keep-open", "--exec", r'printf "HTTP/1.0 200 OK\r\n\r\nhello from user space\n"'):
        for _ in range(2):
            assert lab.peer("curl", "--silent", "--show-error", "http://endpoint:8080/") == b"hello from user space\n"


def test_megabyte_comes_back_to_the_peer(lab: Lab) -> None:
    with lab.listening("7", "--echo"):
        assert lab.peer("ncat", "endpoint", "7", data=MEGABYTE) == MEGABYTE
