"""The errors of the scene tree.

NotFound      > SceneNotFound      there is no such scene
NotFound      > AssetNotFound      the scene has no such asset
AlreadyExists > AssetConflict      another content has this asset's name
StorageError  > UnsupportedSchema  a newer version wrote scene.json
"""

from evergreen_storage.storage import AlreadyExists, NotFound, StorageError


class SceneNotFound(NotFound):
    """There is no such scene."""

    def __init__(self, project_id: str, scene_id: str) -> None:
        super().__init__(f"there is no scene {project_id}/{scene_id}")
        self.project_id = project_id
        self.scene_id = scene_id


class AssetNotFound(NotFound):
    """The scene has no such asset."""


class AssetConflict(AlreadyExists):
    """Another content has this asset's name."""


class UnsupportedSchema(StorageError):
    """The document was written by a newer version of this service, and is not changed."""
