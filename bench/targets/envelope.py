"""From a scenario's target to the envelope of its requests, and to whom it trusts."""

from __future__ import annotations

import ssl
from functools import cache

from bench.plan import Target
from bench.plan.addresses import bare, basic
from bench.plan.redaction import Scrub
from bench.version import __version__
from bench.wire.provider import Provider


def provider(target: Target, url: str, scrub: Scrub) -> Provider:
    """The target with the headers that every request carries. The scenario's own headers win, then its key, then the
    URL's user, who is sent as clients do: in a header."""
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # a compressed stream waits in the compressor, and then in ours
        "Content-Type": "application/json",
        "User-Agent": f"bench/{__version__}",
    }
    if target.key is not None:
        headers["Authorization"] = f"Bearer {target.key.get_secret_value()}"
    elif (user := basic(url)) is not None:
        headers["Authorization"] = user
    own = {name: value.get_secret_value() for name, value in target.headers.items()}
    named = {name.lower() for name in own}  # HTTP does not tell upper from lower case in names
    headers = {name: value for name, value in headers.items() if name.lower() not in named}
    return Provider(url=bare(url), style=target.path_style(), headers=headers | own, scrub=scrub)


@cache  # reading the authorities of a system takes 40 ms
def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Certificates are verified against the system's authorities, or against those of a file."""
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    context.set_alpn_protocols(["http/1.1"])
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
