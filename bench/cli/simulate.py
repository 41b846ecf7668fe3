"""`bench simulate`: the simulated provider, on its own, until Ctrl-C."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from bench.cli.problems import Wrong, reported
from bench.cli.streams import tell


@click.command(name="simulate")
@click.argument("provider_file", metavar="[PROVIDER.yaml]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: any free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--certfile",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with a certificate: serve over TLS.",
)
@click.option("--keyfile", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The certificate's key.")
@reported
def command(provider_file: Path | None, port: int, host: str, certfile: Path | None, keyfile: Path | None) -> None:
    """Serve a simulated provider: every API that bench can ask, errors and faults, with timing of your choice.

    Without a file there are six models: sim/fast, sim/slow, sim/thinker, sim/exact, sim/instant and sim/painter.
    Ctrl-C ends it.

    \b
      bench simulate --port 8000
      bench run http://127.0.0.1:8000/v1 --model sim/fast
    """
    from bench.plan.document import read_document, validate
    from bench.simulator.config import Provider
    from bench.simulator.server import serve

    check_certificate(certfile, keyfile)
    provider = validate(read_document(provider_file, (), os.environ), Provider) if provider_file else Provider()

    def ready(url: str) -> None:
        tell(f"{', '.join(provider.models)} at {url}/v1; Ctrl-C ends it")

    with suppress(KeyboardInterrupt):
        serve(provider, host=host, port=port, certfile=certfile, keyfile=keyfile, ready=ready)


def check_certificate(certfile: Path | None, keyfile: Path | None) -> None:
    """Check that the files hold a certificate and its key. Raises Wrong."""
    import ssl

    if certfile is None:
        if keyfile is not None:
            raise Wrong("got --keyfile without --certfile; the certificate is expected beside its key")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    except ssl.SSLError as error:
        key = f"its key in {keyfile}" if keyfile else "its key (or --keyfile)"
        raise Wrong(
            f"--certfile: a certificate in {certfile} and {key} are expected: {error.reason or error}"
        ) from None
