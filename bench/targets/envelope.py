"""From a scenario's target to the headers of its requests and to the certificates that it trusts."""

from __future__ import annotations

import ssl
from functools import cache

import httpx

from bench.plan import Target
from bench.plan.addresses import bare, basic
from bench.plan.credentials import ClientCertificate, KeyCommand
from bench.plan.redaction import Scrub
from bench.version import __version__
from bench.wire.provider import Provider


def provider(target: Target, url: str, scrub: Scrub) -> Provider:
    """The target's address and the headers of every request. The scenario's own headers win over its key, and its key
    over the user in the URL, which goes into a header as other clients do."""
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # compression delays tokens at both ends
        "Content-Type": "application/json",
        "User-Agent": f"bench/{__version__}",
    }
    own = {name: value.get_secret_value() for name, value in target.headers.items()}
    named = {name.lower() for name in own}  # upper and lower case are the same in names of HTTP headers
    if (user := basic(url)) is not None:
        headers["Authorization"] = user
    headers = {name: value for name, value in headers.items() if name.lower() not in named}

    def credentials() -> dict[str, str]:
        return {name: value for name, value in target.credentials.items() if name.lower() not in named}

    if not isinstance(target.key, KeyCommand):
        headers |= credentials()
    return Provider(
        url=with_query(bare(url), target),
        style=target.path_style(),
        headers=headers | own,
        credentials=credentials if isinstance(target.key, KeyCommand) else None,
        scrub=scrub,
    )


def with_query(url: str, target: Target) -> str:
    """The address with the target's own query parameters, which every request then has."""
    parameters = {name: value.get_secret_value() for name, value in target.query.items()}
    return str(httpx.URL(url).copy_merge_params(parameters)) if parameters else url


def context_for(target: Target) -> ssl.SSLContext:
    """The TLS context of connections to the target."""
    return ssl_context(target.verify, target.client_certificate, http2=target.http2)


@cache  # reading the system's certificates takes 40 ms
def ssl_context(verify: bool | str, shown: ClientCertificate | None = None, *, http2: bool = False) -> ssl.SSLContext:
    """A TLS context. `verify` is True for the system's certificates, the path of a file with certificates, or False for
    no verification. `shown` is our own certificate. With `http2` it is another context than without: httpx adds HTTP/2
    to what a context offers, and a connection of HTTP/1.1 that offers it is answered in HTTP/2."""
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    context.set_alpn_protocols(["http/1.1"])
    if shown is not None:
        context.load_cert_chain(shown.cert, shown.key, shown.secret)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
