"""Keeps a picture as the hero of a scene, and makes a clip of it: `python hero.py PICTURE CLIP`."""

import sys

from evergreen import Client

picture, target = sys.argv[1:]
with Client() as client:
    hero = client.scenes.upload("film", "hero", "images/hero.jpg", picture)
    clip = client.generate(
        project_id="film",
        scene_id="hero",
        model="gen4_turbo",
        ratio="1280:720",
        duration_seconds=5,
        image=f"asset:{hero.path}",
    )
    for job in clip.watch():
        print(f"{job.stage or job.state} {job.progress:.0%}", file=sys.stderr)
    # Run again after a crash, the download goes on where it was.
    print(*clip.download(target, overwrite=True))
