"""The environment that our child processes get: what a program needs to run, and none of the keys.

Everybody with the same user, and every crash reporter, can read a process's environment; workers, which need the key,
are told it on their standard input.
"""

from __future__ import annotations

import os
import re

NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TEMP|TMP"
    r"|PYTHON[A-Z0-9]*|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_LIBRARY_PATH|SYSTEMROOT"
    r"|SSL_CERT_(FILE|DIR)|XDG_[A-Z]+_(HOME|DIR|DIRS)|GIT_DIR"
    r"|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB)_[A-Z_]+|COVERAGE_[A-Z_]+|COV_CORE_[A-Z]+"
)
"""Names of variables. Python's own have no underscore, so that PYTHON_API_KEY is none of them."""


def child_environment() -> dict[str, str]:
    """For `subprocess`: of this process's environment, what a child needs."""
    return {name: value for name, value in os.environ.items() if NEEDED.fullmatch(name)}
