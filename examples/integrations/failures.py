"""Prints what failed in the last day, the newest first: `python failures.py`."""

from datetime import UTC, datetime, timedelta

from evergreen import Client

with Client() as client:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for job in client.list(states=["failed", "expired"], created_from=yesterday, newest_first=True):
        if job.end_time and job.error:
            print(f"{job.end_time:%H:%M}  {job.project_id}/{job.scene_id}  {job.model}  {job.error.message}")
