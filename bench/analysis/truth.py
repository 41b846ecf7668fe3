"""How wrong the figures are, where the server knows: the simulator says with each answer when it really happened.

Both clocks are the machine's monotonic one, so the difference of two durations is our error and nothing else.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.metrics import statistics


def truth(rows: pd.DataFrame) -> dict[str, Any] | None:
    """Errors of TTFT and of the last token's time against the simulator's own; None for other servers."""
    if "server.first_token" not in rows:
        return None
    streams = rows[(rows["outcome"] == "ok") & rows["first_token_at"].notna() & rows["server.first_token"].notna()]
    if not len(streams):
        return None
    true_ttft = streams["server.first_token"] - streams["server.arrived"]
    true_decoding = streams["server.last_token"] - streams["server.first_token"]
    decoding = streams["last_token_at"] - streams["first_token_at"]
    return {
        "true_ttft_s": statistics(true_ttft),
        "ttft_error_s": statistics((streams["ttft_s"] - true_ttft).abs()),
        "decoding_error_s": statistics((decoding - true_decoding).abs()),
    }
