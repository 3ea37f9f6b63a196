"""Paths of files as they are printed, `projects/film/scene-1/videos/x.mp4`, which every command takes as well."""

from dataclasses import dataclass

import click

from evergreen.cli.names import FOLDERS


@dataclass(frozen=True, slots=True)
class Place:
    """A file in a scene; its path begins with the folder."""

    project_id: str
    scene_id: str
    path: str

    def __str__(self) -> str:
        return f"projects/{self.project_id}/{self.scene_id}/{self.path}"


def place_of(text: str, project: str | None, scene: str | None, *, given: frozenset[str] = frozenset()) -> Place:
    """Returns the file that a text names: `videos/x.mp4` of the scene, or a whole path.

    `given` are those of "project" and "scene" that stand on the command line. Raises UsageError if they name another
    scene than the path, or if nothing names one.
    """
    words = text.removeprefix("/").split("/")
    if words[0] == "projects" and len(words) == 5 and words[3] in FOLDERS:
        whole = Place(words[1], words[2], "/".join(words[3:]))
        for name, said, found in (("project", project, whole.project_id), ("scene", scene, whole.scene_id)):
            if name in given and said != found:
                raise click.UsageError(f"{text} is of another {name} than --{name} {said}")
        return whole
    if missing := [f"--{name}" for name, said in (("project", project), ("scene", scene)) if not said]:
        raise click.UsageError(f"say whose file {text} is: {' and '.join(missing)}, or its whole path, projects/…")
    assert project is not None, "it is not missing"
    assert scene is not None, "it is not missing"
    return Place(project, scene, text)
