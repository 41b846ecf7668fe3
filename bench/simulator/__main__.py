"""`python -m bench.simulator`: runs the simulated provider as a process. It prints {"url": …} when it listens."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.simulator.config import Provider
from bench.simulator.server import announce, serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.simulator", description=__doc__)
    parser.add_argument("--config", type=Path, help="JSON file with the provider's settings")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--certfile", type=Path)
    parser.add_argument("--keyfile", type=Path)
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input closes")
    given = parser.parse_args()
    provider = Provider.model_validate_json(given.config.read_bytes()) if given.config else Provider()
    serve(
        provider,
        host=given.host,
        port=given.port,
        certfile=given.certfile,
        keyfile=given.keyfile,
        ready=announce,
        until_eof=given.until_eof,
    )


if __name__ == "__main__":
    main()
