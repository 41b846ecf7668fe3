"""URLs of targets, proxies and webhooks: finds their mistakes and secrets, and shows them without secrets."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

LONGEST = 4000  # characters; servers take about twice as many, and an API's path is added
_UNFIT = re.compile(r"[\s\x00-\x20\x7f-\x9f\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_MAYBE_USER = re.compile(r"(?<=://)\S*@")  # finds a password with a / that should be written as %2F
_VALUE = re.compile(r"([?&][^=&#\s'\"]+=)([^&#\s'\"]+)")
_API_PATH = re.compile(r"(chat/completions|(?<=v1/)(?:completions|messages|responses|embeddings|rerank))$")
_PUBLIC = frozenset({"api-version", "api_version", "version"})
"""Query parameters whose values are not secret: the version of an API."""


def not_a_base(url: str) -> str | None:
    """What is wrong with a URL that was copied together with the path of an API; None if nothing is."""
    found = _API_PATH.search(path_of(url))
    return None if found is None else f"ends with /{found[1]}, which bench adds by itself; leave it out"


def problem(url: str, schemes: tuple[str, ...] = ("http", "https")) -> str | None:
    """What is wrong with a URL, without its secrets; None if nothing is wrong."""
    scheme = _SCHEME.match(url)
    if scheme is None or scheme.group().lower() not in schemes:
        return f"got {safe(url)!r}; {' or '.join(f'{one}://…' for one in schemes)} is expected"
    if len(url) > LONGEST:
        return f"is {len(url)} characters long; at most {LONGEST} are expected"
    if (found := _UNFIT.search(url)) is not None:
        code = ord(found.group())
        what = "a space" if code == 0x20 else f"the character U+{code:04X}"
        return f"has {what}, which no URL can have; write it as %{code:02X}, or leave it out"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"got {safe(url)!r}; an IPv6 address needs brackets, such as http://[::1]:8000"
    wrong = _host_problem(parts.netloc.rpartition("@")[2])
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" and (wrong or parts.fragment):
        return "the password before @ has / or ? or #; write them as %2F, %3F, %23"
    if parts.fragment:
        return f"got {safe(url)!r}; the part after # is never sent to a server; leave it out"
    return wrong


def _host_problem(place: str) -> str | None:
    """What is wrong with host and port."""
    if place.startswith("["):
        host, closing, rest = place[1:].partition("]")
        try:
            ipaddress.IPv6Address(host if closing else "")
        except ValueError:
            return f"the host [{host}] is not an IPv6 address; write it like http://[::1]:8000"
        if rest and not rest.startswith(":"):
            return f"the host [{host}] is followed by {rest!r}; write a port like :8000"
        return _port_problem(rest[1:])
    host, _, port = place.partition(":")
    if ":" in port:
        return f"the host {place} has several colons; an IPv6 address needs brackets, such as http://[::1]:8000"
    return _name_problem(host) or _port_problem(port)


def _port_problem(port: str) -> str | None:
    if port and not (port.isascii() and port.isdigit() and len(port) < 9 and 1 <= int(port) <= 65535):
        return f"the port is {port[:20]!r}; a number from 1 to 65535 is expected"
    return None


def _name_problem(host: str) -> str | None:
    if not host:
        return "the host is missing; http://127.0.0.1:8000 or https://api.example.com is expected"
    if host.rpartition(".")[2].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return f"the host {host[:60]} is not an IPv4 address, such as 127.0.0.1"
        return None
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"the host {host[:60]!r} is not a name; the parts between its dots are 1 to 63 letters, digits and -"
    return None


def host_problem(host: str) -> str | None:
    """What is wrong with an address to listen on."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _name_problem(host)
    return None


def safe(url: str) -> str:
    """A broken URL for a message, without anything that may be part of a password."""
    if "@" in url and "://" not in url:
        return f"***@{url.rpartition('@')[2]}"[:200]
    return _MAYBE_USER.sub("***@", shown(url))[:200]


def shown(text: str) -> str:
    """A URL, or a text with URLs in it, with *** for the secrets."""
    return _VALUE.sub(lambda found: found[0] if is_public(found[1]) else f"{found[1]}***", _USER.sub("***@", text))


def is_public(name: str) -> bool:
    """Whether the value of a query parameter is not secret."""
    return name.strip("?&=").lower() in _PUBLIC


def bare(url: str) -> str:
    """The URL without user and password, which go into a header."""
    return _USER.sub("", url, count=1)


def basic(url: str) -> str | None:
    """The value of `Authorization` for the URL's user (RFC 7617); None if the URL has no user."""
    if (found := _USER.search(url)) is None:
        return None
    user, _, password = found.group()[:-1].partition(":")
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def secrets_in(url: str) -> Iterator[str]:
    """The secrets of a URL: its password (without one, its user), and the values of its query."""
    if (found := _USER.search(url)) is not None and (header := basic(url)) is not None:
        user, _, password = found.group()[:-1].partition(":")
        yield unquote(password or user)
        yield found.group()[:-1]
        yield f"{unquote(user)}:{unquote(password)}"
        yield header.removeprefix("Basic ")
    for name, written in _VALUE.findall(url):
        if not is_public(name):
            yield written
            yield unquote(written.replace("+", " "))


def names_in(url: str) -> frozenset[str]:
    """The names of the parameters in its query."""
    return frozenset(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))


def path_of(url: str) -> str:
    """The URL's path without slashes around it."""
    return urlsplit(url).path.strip("/")


def host_of(url: str) -> str:
    """The URL's host, without user and port."""
    return urlsplit(url).hostname or ""


def is_local(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
