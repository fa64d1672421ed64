"""The guarded exit: what it refuses before a single byte leaves, and what it does with a server that misbehaves."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pytest_django import Settings

from core import outbound
from core.clock import now
from core.outbound import Unreachable
from tests.receivers import Receiver


@contextmanager
def server_that(behaves: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on 127.0.0.1 that does this with its first connection, once the request has come; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    behaves(connection)
            except OSError:
                return  # the other side has hung up, or nobody came

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def post(url: str) -> outbound.Answer:
    return outbound.post(url, body=b"{}", headers={})


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::7f00:1]", "[fe80::1]", "[fc00::1]",
        "[fec0::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:db8::1]", "127.0.0.1.",
    ],
)  # fmt: skip
def test_no_inner_address_is_called_however_it_is_written(host: str) -> None:
    with pytest.raises(Unreachable) as refused:
        post(f"https://{host}/hook")

    assert refused.value.is_refused or "not a known host" in refused.value.message


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_addresses_of_the_open_internet_are_called(address: str) -> None:
    assert outbound._is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x", "ftp://hooks.example.com/x", "file:///etc/passwd", "FILE:///etc/passwd",
        "//host/x",
        "https:///x", "https://", "", "hooks.example.com", "https://user@hooks.example.com/", "https://a:b@hooks.example.com/",
        "https://hooks.example.com:port/", "https://hooks.example.com:99999/", "https://hooks.example.com/a b",
        "https://hooks.example.com/a\r\nHost: inner", "https://hooks.example.com\\@127.0.0.1/", "https://[::1",
        "https://hooks.example.com/ä", "gopher://127.0.0.1:6379/_FLUSHALL", "javascript:alert(1)", "https://hooks.example.com/\x00",
    ],
)  # fmt: skip
def test_only_whole_https_addresses_are_called(url: str) -> None:
    with pytest.raises(Unreachable) as refused:
        outbound.check_url(url)

    assert refused.value.is_refused


def test_a_name_with_one_inner_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.215.14", "10.0.0.7")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: answers)

    with pytest.raises(Unreachable, match="inner address") as refused:
        post("https://rebinding.example.com/")

    assert refused.value.is_refused


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once: an answer that changes a moment later reaches nothing."""
    asked, connected = [], []

    def resolve(host: str, port: int, *_args: object, **_more: object) -> list[object]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address: tuple[str, int], *_args: object, **_more: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(outbound, "create_connection", connect)
    with pytest.raises(Unreachable):
        post("https://rebinding.example.com/")

    assert asked == ["rebinding.example.com"]
    assert connected == [("93.184.215.14", 443)]


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "LOCALHOST", "localhost:{port}", "127.0.0.1:{port}"])
def test_what_the_operator_lists_may_be_inner_and_plain(entry: str, settings: Settings) -> None:
    with Receiver() as receiver:
        settings.OUTBOUND_ALLOW = [entry.format(port=receiver.port)]
        host = "localhost" if "local" in entry.lower() else "127.0.0.1"

        assert post(f"http://{host}:{receiver.port}/hook").status == 200

    assert receiver.posts == [{}]


@pytest.mark.parametrize("entry", ["127.0.0.1:1", "10.0.0.0/8", "example.com", "127.0.0.2", "nonsense", "", "1"])
def test_an_entry_for_something_else_opens_nothing(entry: str, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = [entry]
    with Receiver() as receiver, pytest.raises(Unreachable):
        post(f"http://127.0.0.1:{receiver.port}/hook")

    assert receiver.posts == []


def test_a_name_that_leads_inside_needs_its_network_listed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: answer)
    settings.OUTBOUND_ALLOW = ["10.0.0.0/24"]
    assert outbound.resolve("mattermost.corp", 443) == "10.0.0.7"

    settings.OUTBOUND_ALLOW = ["10.0.1.0/24"]
    with pytest.raises(Unreachable, match="OUTBOUND_ALLOW"):
        outbound.resolve("mattermost.corp", 443)


def test_a_redirect_is_an_answer_and_not_followed(loopback_allowed: None) -> None:
    with Receiver() as inner:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {inner.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with server_that(lambda connection: connection.sendall(redirect)) as port:
            answer = post(f"http://127.0.0.1:{port}/hook")

    assert answer.status == 302
    assert inner.posts == []


def test_proxies_of_the_environment_are_not_used(loopback_allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        post(receiver.url)

    assert len(receiver.posts) == 1
    assert proxy.posts == []


def test_the_answer_is_cut(loopback_allowed: None) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server_that(flood) as port:
        answer = post(f"http://127.0.0.1:{port}/hook")

    assert len(answer.text) == outbound.MAX_ANSWER


def test_a_packed_answer_is_not_unpacked(loopback_allowed: None) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb"
    with server_that(lambda connection: connection.sendall(head)) as port:
        assert post(f"http://127.0.0.1:{port}/hook").text == "bomb"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_that_only_drips_ends_after_the_total_time(start: bytes, loopback_allowed: None) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    began = time.monotonic()
    with server_that(drip) as port, pytest.raises(Unreachable, match="no whole answer"):
        outbound.post(f"http://127.0.0.1:{port}/hook", body=b"{}", headers={}, seconds=0.5)

    assert time.monotonic() - began < 2


@pytest.mark.parametrize("said", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 9999 What\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n"])
def test_nonsense_is_an_error_with_a_sentence(said: bytes, loopback_allowed: None) -> None:
    with server_that(lambda connection: connection.sendall(said)) as port, pytest.raises(Unreachable) as failed:
        post(f"http://127.0.0.1:{port}/secret-path")

    assert not failed.value.is_refused
    assert "secret-path" not in failed.value.message


def test_nobody_listening_is_worth_another_try(loopback_allowed: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(Unreachable, match="refused") as failed:
        post(f"http://127.0.0.1:{port}/hook")

    assert not failed.value.is_refused


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """What a server shows that made its certificate for 127.0.0.1 itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now() - timedelta(days=1)).not_valid_after(now() + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    file = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(loopback_allowed: None, self_signed: ssl.SSLContext) -> None:
    with Receiver(tls=self_signed) as receiver:
        with pytest.raises(Unreachable, match=r"SSLError|SSLCert"):
            post(f"https://127.0.0.1:{receiver.port}/hook")

        assert receiver.posts == []


def test_a_certificate_that_is_vouched_for_is_accepted(
    loopback_allowed: None, self_signed: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    with Receiver(tls=self_signed) as receiver:
        assert post(f"https://127.0.0.1:{receiver.port}/hook").status == 200
