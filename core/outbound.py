"""The one guarded exit for HTTP requests.

The host is resolved once, every address is checked, and the connection goes to the address that was checked: a name
that resolves to something else a moment later reaches nothing. https only, no redirects, no proxies from the
environment, a limit on size and on the time of the whole exchange. Hosts and networks in OUTBOUND_ALLOW may be
private, and plain http; so may the one host that the operator names in a setting of its own, for that setting's calls.
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
from urllib3.response import BaseHTTPResponse
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


class TooMuch(Unreachable):
    """The answer is longer than what was asked for may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


def post(url: str, *, body: bytes, headers: dict[str, str], seconds: float = TOTAL_TIMEOUT) -> Answer:
    """POST ``body`` and return the first 64 KiB of the answer, whatever its status. Raises Unreachable."""
    return _exchange(_connection(url), "POST", url, body=body, headers=headers, seconds=seconds, most=MAX_ANSWER)


def get(url: str, *, headers: dict[str, str], seconds: float, most: int) -> Answer:
    """GET an address whose host the operator has named: it may be private and plain http. ``seconds`` is the limit for
    the whole exchange, ``most`` that of the answer's bytes. Raises Unreachable, TooMuch for a longer answer."""
    connection = _connection(url, is_operators=True)
    answer = _exchange(connection, "GET", url, body=None, headers=headers, seconds=seconds, most=most + 1)
    if len(answer.text.encode()) > most:
        raise TooMuch(f"{connection.host} answered with more than {most // 1024} KiB.")
    return answer


class Conversation:
    """Many requests to one server that the operator has named, one after the other over one connection. Raises
    Unreachable, TooMuch for a longer answer."""

    def __init__(self, url: str, *, headers: dict[str, str]) -> None:
        self.url = url.rstrip("/")
        self._headers = headers
        self._connection = _connection(self.url, is_operators=True)
        self._prefix = urlsplit(self.url).path

    def ask(self, method: str, path: str, *, body: bytes | None = None, seconds: float, most: int) -> Answer:
        """An answer whose whole text is wanted. ``path`` is below the address, with its query."""
        with self._response(method, path, body=body, seconds=seconds) as response:
            text = response.read(most + 1)
            if len(text) > most:
                raise TooMuch(f"{self._connection.host} answered with more than {most // 1024} KiB.")
            headers = {key.lower(): value for key, value in response.headers.items()}
            return Answer(response.status, text.decode("utf-8", "replace"), headers)

    @contextmanager
    def stream(self, path: str, *, seconds: float) -> Iterator[BaseHTTPResponse]:
        """An answer of any length, to be read in pieces. ``seconds`` is the limit for each of them."""
        with self._response("GET", path, body=None, seconds=seconds) as response:
            yield response

    @contextmanager
    def _response(self, method: str, path: str, *, body: bytes | None, seconds: float) -> Iterator[BaseHTTPResponse]:
        connection, is_whole = self._connection, False
        connection.timeout = seconds
        try:
            yield (response := self._sent(method, path, body))
            is_whole = response.read(1) == b""
        except (HTTPError, HTTPException, OSError) as error:
            raise Unreachable(f"{connection.host} gave no answer: {_reason(error, seconds)}.") from error
        finally:
            if not is_whole:
                connection.close()

    def _sent(self, method: str, path: str, body: bytes | None) -> BaseHTTPResponse:
        """Again on a new connection, where the server has closed the one that was kept."""
        connection, was_kept = self._connection, self._connection.sock is not None
        sent = {"body": body, "headers": self._headers, "preload_content": False, "decode_content": False}
        try:
            if connection.sock is not None:
                connection.sock.settimeout(connection.timeout)
            connection.request(method, self._prefix + path, **sent)  # type: ignore[arg-type]
            return connection.getresponse()
        except (HTTPException, ConnectionError, HTTPError):
            connection.close()
            if not was_kept:
                raise
        connection.request(method, self._prefix + path, **sent)  # type: ignore[arg-type]
        return connection.getresponse()

    def close(self) -> None:
        self._connection.close()


def _connection(url: str, *, is_operators: bool = False) -> _Pinned | _PinnedHTTPS:
    host, port = check_url(url, is_operators=is_operators)
    connection: _Pinned | _PinnedHTTPS
    if urlsplit(url).scheme == "https":
        connection = _PinnedHTTPS(host, port, timeout=TIMEOUT, cert_reqs="CERT_REQUIRED")
    else:
        connection = _Pinned(host, port, timeout=TIMEOUT)
    connection.is_operators = is_operators
    return connection


def _exchange(
    connection: _Pinned | _PinnedHTTPS,
    method: str,
    url: str,
    *,
    body: bytes | None,
    headers: dict[str, str],
    seconds: float,
    most: int,
) -> Answer:
    host, parts = connection.host, urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.timeout = min(TIMEOUT, seconds)
    try:
        connection.connect()
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{host} could not be reached: {_reason(error, connection.timeout)}.") from error
    connected = connection.sock  # kept: the connection forgets it as soon as the server says that it will close
    with time_limit(seconds, lambda: connected) as has_run_out:
        try:
            connection.request(method, target, body=body, headers=headers, preload_content=False, decode_content=False)
            response = connection.getresponse()
            text = response.read(most).decode("utf-8", "replace")
        except (HTTPError, HTTPException, OSError) as error:
            late = f"no whole answer within {seconds:.0f} s"
            reason = late if has_run_out() else _reason(error, connection.timeout)
            raise Unreachable(f"{host} gave no answer: {reason}.") from error
        finally:
            connection.close()
        if has_run_out():
            raise Unreachable(f"{host} gave no whole answer within {seconds:.0f} s.")
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


def check_url(url: str, *, is_operators: bool = False) -> tuple[str, int]:
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
    if parts.scheme == "http" and not is_operators and not _is_listed(host, port):
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


def resolve(host: str, port: int, *, is_operators: bool = False) -> str:
    """One address of the host that may be called; Unreachable when any of its addresses is private and neither the
    operator's own choice nor listed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} is not a known host.") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_operators and not _is_public(address) and not _is_listed(host, port, address):
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
    is_operators = False

    def _new_conn(self) -> socket.socket:
        address = resolve(self.host, self.port or 80, is_operators=self.is_operators)
        return create_connection((address, self.port or 80), self.timeout, socket_options=self.socket_options)


class _PinnedHTTPS(HTTPSConnection):
    is_operators = False

    def _new_conn(self) -> socket.socket:
        address = resolve(self.host, self.port or 443, is_operators=self.is_operators)
        return create_connection((address, self.port or 443), self.timeout, socket_options=self.socket_options)


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return f"no answer within {seconds:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return type(error).__name__
