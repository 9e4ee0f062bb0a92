"""`make compat`: run aws-secretsmanager-caching's own tests with `keyturn.compat.SecretCache` in its place.

The tests are those of the release that `constraints.txt` pins. pip downloads its source distribution to
`build/compat`. All tests that make a cache must pass; the others are about upstream's internals.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import aws_secretsmanager_caching as upstream
import pytest
from aws_secretsmanager_caching import secret_cache

from keyturn.compat.cache import SecretCache

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "compat"
NAME = "aws_secretsmanager_caching"

TESTS = {"test_aws_secretsmanager_caching.py": 15, "test_cache_hook.py": 2, "test_decorators.py": 8}
"""The files whose tests make a `SecretCache`, and the number of their tests in 1.2."""


@dataclass(frozen=True)
class LookedAt:
    """What one of the tests looks at of upstream's cached secret: when it is read again."""

    _next_refresh_time: datetime


class Cache(SecretCache):
    """`keyturn.compat.SecretCache` with the one private method of upstream's that its tests call."""

    def _get_cached_secret(self, secret_id: str) -> LookedAt:
        held = [one for one in self.keyturn.status().secrets if secret_id in one.secret_ids]
        read_s = max((time.time() - one.age_s for one in held), default=0.0)
        return LookedAt(datetime.fromtimestamp(read_s, UTC))


class Outcomes:
    """Counts the outcomes of the tests. A skipped test has not passed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.counts[report.outcome] += 1


def tests() -> Path:
    """Download the tests of the installed release anew and return their folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    release = f"{NAME}-{version(NAME)}"
    command = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
    subprocess.run(  # noqa: S603 # pip, of the running Python
        [sys.executable, "-m", "pip", *command, "--dest", FOLDER, release.replace("-", "==")], check=True
    )
    with tarfile.open(FOLDER / f"{release}.tar.gz") as archive:
        archive.extractall(FOLDER, filter="data")
    return FOLDER / release / "test" / "unit"


def main() -> int:
    """Run the tests. Return 0 if all of them passed."""
    folder = tests()
    # Without a Region one of the tests passes without having tested anything.
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
    for module in (upstream, secret_cache):
        vars(module)["SecretCache"] = Cache
    outcomes = Outcomes()
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    options += ["--import-mode=importlib", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    pytest.main([*options, *(str(folder / name) for name in TESTS)], [outcomes])
    passed = {"passed": sum(TESTS.values())}
    if outcomes.counts != passed:
        print(f"expected {passed}, saw {dict(outcomes.counts)}", file=sys.stderr)
        return 1
    print(f"{sum(TESTS.values())} tests of {NAME} {version(NAME)} pass on keyturn.compat")
    return 0


if __name__ == "__main__":
    sys.exit(main())
