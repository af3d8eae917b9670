"""Where webhooks may be sent to: the form of an address, and which hosts are out of bounds.

Whoever may make a webhook chooses where this machine connects to. So only public addresses are called,
unless the farm's owner allowed a host by its name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from reelyard.domain.errors import RequestInvalid, printable

_LONGEST = 2000
_PORTS = {"http": 80, "https": 443}
_FIRST_FREE_PORT = 1024  # those below belong to mail, shells and the like
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")  # old ways to write IPv4 addresses
_PATH, _QUERY = "/%:@!$&'()*+,;=~-._", "/%:@!$&'()*+,;=~-._?"
_IPv4, _IPv6 = ipaddress.IPv4Address, ipaddress.IPv6Address
_ALSO_CLOSED = tuple(map(ipaddress.ip_network, (
    "168.63.129.16/32",  # a cloud's own service, on a public address
    "192.88.99.0/24",  # relays between IPv4 and IPv6
    "2001::/23",  # tunnels
    "fec0::/10",  # once private
)))  # fmt: skip
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str, allowed_hosts: Collection[str] = ()) -> str:
    """The address as it will be called. Raises RequestInvalid, with ``url`` as its field."""
    parts, port = _split(url)
    host = _host(parts.hostname or "")
    number = _PORTS[parts.scheme] if port is None else port
    if not is_allowed(host, number, allowed_hosts):
        _check_public(parts.scheme, host, number)
    name = f"[{host}]" if ":" in host else host
    netloc = name if number == _PORTS[parts.scheme] else f"{name}:{number}"
    path, query = quote(parts.path or "/", safe=_PATH), quote(parts.query, safe=_QUERY)
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def is_allowed(host: str, port: int, allowed_hosts: Collection[str]) -> bool:
    """Whether the farm's owner allowed this host by name, on any port or on this one."""
    name = f"[{host}]" if ":" in host else host
    return not {host, name, f"{name}:{port}"}.isdisjoint(one.lower() for one in allowed_hosts)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to somebody on the internet, whatever way it is wrapped up."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = _wrapped(found) if isinstance(found, _IPv6) else found
    special = (
        inner.is_private, inner.is_loopback, inner.is_link_local, inner.is_multicast,
        inner.is_reserved, inner.is_unspecified,
    )  # fmt: skip
    closed = any(inner in network for network in _ALSO_CLOSED if network.version == inner.version)
    return inner.is_global and not any(special) and not closed


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if address in _NAT64:
        return _IPv4(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > _LONGEST:
        raise _invalid(f"the address is longer than {_LONGEST} characters")
    if any(not char.isprintable() or char.isspace() or char == "\\" for char in url):
        raise _invalid("the address holds characters that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("this is no address") from None
    if parts.scheme not in _PORTS:
        raise _invalid("the address begins with neither https:// nor http://")
    if "@" in parts.netloc:
        raise _invalid("the address holds a user name or a password")
    if "#" in url:
        raise _invalid("the address holds a #")
    if port == 0:
        raise _invalid("no host has a port 0")
    return parts, port


def _host(name: str) -> str:
    """The host as it is looked up. Raises RequestInvalid."""
    name = name.lower().removesuffix(".")
    try:
        return ipaddress.IPv6Address(name).compressed if ":" in name else _ascii(name)
    except ValueError:
        raise _invalid(f"{printable(name) or 'nothing'} is no host's name") from None


def _ascii(name: str) -> str:
    """Raises ValueError."""
    plain = name if name.isascii() else name.encode("idna").decode("ascii").lower()
    if len(plain) > 253 or not _NAME.fullmatch(plain) or max(map(len, plain.split("."))) > 63:
        raise ValueError(plain)
    return str(_IPv4(plain)) if _NUMBER.fullmatch(plain) else plain


def _check_public(scheme: str, host: str, port: int) -> None:
    if not host.replace(".", "").isdigit() and ":" not in host:
        is_open = host != "localhost" and not host.endswith(".localhost")
    else:
        is_open = is_public(host)
    if not is_open:
        raise not_public(host)
    if scheme != "https":
        raise _invalid("the address is not encrypted")
    if port not in _PORTS.values() and port < _FIRST_FREE_PORT:
        raise _invalid(f"port {port} is not for webhooks")


def not_public(host: str) -> RequestInvalid:
    return RequestInvalid(
        f"{host} is not on the public internet",
        remedy="Have the farm's owner add it to the allowed webhook hosts",
        field="url",
    )


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(
        message, remedy="Write it like https://example.com/hooks/reelyard", field="url"
    )
