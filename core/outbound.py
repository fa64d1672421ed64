"""The one guarded exit for HTTP requests that users configure.

The host is resolved once, every address is checked, and the connection goes to the address that was checked: a name
that resolves to something else a moment later reaches nothing. https only, no redirects, no proxies from the
environment, a limit on size and on the time of the whole exchange. Hosts and networks in OUTBOUND_ALLOW may be
private, and plain http.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.connection import create_connection

from core.errors import CountersignError

TIMEOUT = 10.0  # seconds, for connecting and for each read
TOTAL_TIMEOUT = 20.0  # seconds, for request and answer as a whole: an answer of one byte now and then ends here
MAX_ANSWER = 64 * 1024
# What a request line may hold: a space or a line break would start a second request.
_SENDABLE = re.compile(r"[\x21-\x7e]+")


class Unreachable(CountersignError):
    """No answer could be had. ``is_refused`` says that the address is forbidden, so trying again is useless."""

    def __init__(self, message: str, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


def post(url: str, *, body: bytes, headers: dict[str, str]) -> Answer:
    """POST ``body`` and return the first 64 KiB of the answer, whatever its status. Raises Unreachable."""
    host, port = check_url(url)
    parts = urlsplit(url)
    connection: HTTPConnection
    if parts.scheme == "https":
        connection = _PinnedHTTPS(host, port, timeout=TIMEOUT, cert_reqs="CERT_REQUIRED")
    else:
        connection = _Pinned(host, port, timeout=TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{host} could not be reached: {_reason(error)}.") from error
    connected = connection.sock  # kept: the connection forgets it as soon as the server says that it will close
    with time_limit(TOTAL_TIMEOUT, lambda: connected) as has_run_out:
        try:
            connection.request("POST", target, body=body, headers=headers, preload_content=False, decode_content=False)
            response = connection.getresponse()
            text = response.read(MAX_ANSWER).decode("utf-8", "replace")
        except (HTTPError, HTTPException, OSError) as error:
            reason = f"no whole answer within {TOTAL_TIMEOUT:.0f} s" if has_run_out() else _reason(error)
            raise Unreachable(f"{host} gave no answer: {reason}.") from error
        finally:
            connection.close()
        if has_run_out():
            raise Unreachable(f"{host} gave no whole answer within {TOTAL_TIMEOUT:.0f} s.")
    return Answer(response.status, text, {key.lower(): value for key, value in response.headers.items()})


@contextmanager
def time_limit(seconds: float, find_socket: Callable[[], socket.socket | None]) -> Iterator[Callable[[], bool]]:
    """Hang up after ``seconds``: whoever reads from the socket then sees its end. Yields whether that has happened.

    A socket's own timeout is for each read, so that a server which sends a byte now and then holds us for hours.
    """
    has_run_out = threading.Event()

    def hang_up() -> None:
        has_run_out.set()
        if connected := find_socket():
            try:
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # past TLS, which another thread is using
            except OSError:
                return  # it is closed already

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield has_run_out.is_set
    finally:
        timer.cancel()


def check_url(url: str) -> tuple[str, int]:
    """Host and port of an address that may be called. Raises Unreachable with a sentence."""
    if not _SENDABLE.fullmatch(url) or "\\" in url:
        raise Unreachable("The address holds a character that no address has.", is_refused=True)
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Unreachable("The address cannot be read.", is_refused=True) from error
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
        raise Unreachable("The address must look like https://host/path, without a user name.", is_refused=True)
    if parts.scheme == "http" and not _is_listed(host, port):
        raise Unreachable(
            "Only https addresses are called, unless the host is listed in OUTBOUND_ALLOW.", is_refused=True
        )
    return host, port


def _is_listed(host: str, port: int, address: str = "") -> bool:
    """Whether the operator lists this host, host:port or a network that holds the address."""
    for entry in settings.OUTBOUND_ALLOW:
        if entry.lower() in (host.lower(), f"{host.lower()}:{port}"):
            return True
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        try:
            if ipaddress.ip_address(address or host) in network:
                return True
        except ValueError:
            continue
    return False


def resolve(host: str, port: int) -> str:
    """One address of the host that may be called; Unreachable when any of its addresses is private and not listed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} is not a known host.") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not _is_public(address) and not _is_listed(host, port, address):
            raise Unreachable(
                f"{host} is an inner address. List it in OUTBOUND_ALLOW if Countersign may call it.", is_refused=True
            )
    return addresses[0]


def _is_public(address: str) -> bool:
    """Reachable on the open internet; an address embedded in another form (mapped, 6to4, NAT64) is judged as itself."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
        elif ip.is_reserved or ip.is_site_local:  # the module calls some of these global
            return False
    return ip.is_global and not ip.is_multicast


class _Pinned(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        address = resolve(self.host, self.port or 80)
        return create_connection((address, self.port or 80), self.timeout, socket_options=self.socket_options)


class _PinnedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        address = resolve(self.host, self.port or 443)
        return create_connection((address, self.port or 443), self.timeout, socket_options=self.socket_options)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return type(error).__name__
