"""Synthetic images of a given size: soft coloured shapes that compress like photographs, all different."""

from __future__ import annotations

import base64
import io
import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

_COARSE = 12  # colours per side; the image is smooth between them
_QUALITY = 85  # of the JPEG


@cache
def drawn(seed: str, width: int, height: int) -> str:
    """One image as base64 of a JPEG; the same seed and size give the same."""
    rng = np.random.default_rng(random.Random(seed).getrandbits(64))
    colours = rng.integers(0, 256, (_COARSE, _COARSE, 3), dtype=np.uint8)
    image = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return base64.b64encode(out.getvalue()).decode()


@cache
def base64_of(file: str) -> str:
    """A file's bytes as base64."""
    return base64.b64encode(Path(file).read_bytes()).decode()
