"""llama.cpp as a server process: `python -m bench.targets.llama MODEL.gguf SLOTS texts|embeddings [RAM_MIB]`.

RAM_MIB is the memory for prompts that lost their slot; 0: none, by default as llama.cpp has it. It prints its URL, and
ends when its standard input closes.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.resources import files


def main(model: str, slots: int, serves: str, ram_mib: int | None = None) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"SmolLM2-135M-Instruct"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = 2048 * slots
    params.endpoint_slots = True
    if ram_mib is not None:
        params.cache_ram_mib = ram_mib
    for cores in (params.cpuparams, params.cpuparams_batch):
        cores.poll = 0  # idle threads sleep instead of spinning
        cores.n_threads = max(1, (os.cpu_count() or 1) - 1)  # leave a core to the client; all threads wait for each
    params.use_jinja = True
    params.chat_template = files("bench.targets").joinpath("smollm2.jinja").read_text()  # the model's own plus tools
    if serves == "embeddings":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)  # noqa: T201 - the parent reads the port from it
    sys.stdin.read()
    os._exit(0)  # do not wait for running requests: the client is gone


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
