"""Makes `python -m evergreen.cli` the same as the `evergreen` script."""

from evergreen.cli import main

main()
