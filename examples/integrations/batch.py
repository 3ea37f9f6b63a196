"""Makes 20 clips, and cancels two. Killed and run again, it goes on where it was: `python batch.py CURSOR`."""

import sys
from functools import partial
from pathlib import Path

from evergreen import Client

cursor, new = Path(sys.argv[1]), Path(f"{sys.argv[1]}.new")
with Client() as client:
    make = partial(client.generate, project_id="batch", model="gen4.5", ratio="1280:720", duration_seconds=2)
    # The same request ids are the same jobs, however often this runs.
    takes = [make(scene_id=f"scene-{n % 4}", request_id=f"batch-{n}", prompt_text=f"take {n}") for n in range(20)]
    for take in takes[18:]:
        take.cancel()
    after = int(cursor.read_text()) if cursor.exists() else 0
    left = {take.job_id for take in takes if not (take.job.is_final and take.job.revision <= after)}
    for job in client.watch("batch", after_revision=after) if left else ():
        if job.is_final and job.job_id in left:
            print(job.job_id, job.state, flush=True)
            left.remove(job.job_id)
        new.write_text(str(job.revision))
        new.replace(cursor)
        if not left:
            break
