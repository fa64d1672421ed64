"""The one guarded exit for HTTP requests that users configure.

The host is resolved once, every address is checked, and the connection goes to the address that was checked: a name
that resolves to something else a moment later reaches nothing. https only, no redirects, no proxies from the
environment, a limit on size and on time. Hosts and networks in OUTBOUND_ALLOW may be private, and plain http.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.connection import create_connection

from core.errors import CountersignError

TIMEOUT = 10.0  # seconds, for connecting and for each read
MAX_ANSWER = 64 * 1024


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
    parts = urlsplit(url)
    host, port = check_url(url)
    connection: HTTPConnection
    if parts.scheme == "https":
        connection = _PinnedHTTPS(host, port, timeout=TIMEOUT, cert_reqs="CERT_REQUIRED")
    else:
        connection = _Pinned(host, port, timeout=TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body=body, headers=headers, preload_content=False)
        response = connection.getresponse()
        text = response.read(MAX_ANSWER).decode("utf-8", "replace")
        return Answer(response.status, text, {key.lower(): value for key, value in response.headers.items()})
    except Unreachable:
        raise
    except (HTTPError, OSError) as error:
        raise Unreachable(f"{host} could not be reached: {_reason(error)}.") from error
    finally:
        connection.close()


def check_url(url: str) -> tuple[str, int]:
    """Host and port of an address that may be called. Raises Unreachable with a sentence."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Unreachable("The address cannot be read.", is_refused=True) from error
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
        raise Unreachable("The address must look like https://host/path, without a user name.", is_refused=True)
    if parts.scheme == "http" and not _is_listed(host, port):
        raise Unreachable("Only https addresses are called, unless the host is listed in OUTBOUND_ALLOW.", is_refused=True)
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
            return inner.is_global and not inner.is_multicast
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
