"""Leaves out what needs OpenTimelineIO where no wheel of it exists yet."""

import sys

collect_ignore = [] if sys.version_info < (3, 14) else ["test_otio.py"]
