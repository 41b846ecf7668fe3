"""Makes synthetic images of a given size: soft coloured shapes that compress like photographs, all different."""

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
def synthetic_image(seed: str, width: int, height: int) -> str:
    """A JPEG as base64; the same seed and size always give the same image."""
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
