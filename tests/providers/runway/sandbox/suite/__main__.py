"""Checks the sandbox from outside: by every call of the official SDKs and by random bodies, as `make check-sandbox`.

python -m tests.providers.runway.sandbox.suite [sdk] [node] [bodies]
"""

import asyncio
import sys

from tests.providers.runway.sandbox.suite.node import check_node
from tests.providers.runway.sandbox.suite.random_bodies import check_bodies
from tests.providers.runway.sandbox.suite.sdk import check_sdk

CHECKS = {"sdk": check_sdk, "node": check_node, "bodies": check_bodies}


def main() -> int:
    chosen = sys.argv[1:] or [*CHECKS]
    # All are run, whatever the first ones find.
    results = [asyncio.run(CHECKS[name]()) for name in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
