"""Stores scenes: one small storage protocol, its engines, and the scene tree on top."""

from evergreen_storage.engines.local import LocalStorage
from evergreen_storage.engines.memory import MemoryStorage
from evergreen_storage.keys import FOLDERS, id_error, path_error
from evergreen_storage.locks import Lock
from evergreen_storage.opening import open_storage
from evergreen_storage.scenes.errors import AssetConflict, AssetNotFound, SceneNotFound, UnsupportedSchema
from evergreen_storage.scenes.scenes import SceneStore
from evergreen_storage.scenes.values import Asset, Scene, SceneSummary
from evergreen_storage.storage import (
    AlreadyExists,
    BodyMismatch,
    Conflict,
    InvalidKey,
    Json,
    Meta,
    NameTaken,
    NotFound,
    Sealed,
    Storage,
    StorageError,
    TooLarge,
    Unavailable,
    Unsupported,
)

__all__ = [
    "FOLDERS",
    "AlreadyExists",
    "Asset",
    "AssetConflict",
    "AssetNotFound",
    "BodyMismatch",
    "Conflict",
    "InvalidKey",
    "Json",
    "LocalStorage",
    "Lock",
    "MemoryStorage",
    "Meta",
    "NameTaken",
    "NotFound",
    "Scene",
    "SceneNotFound",
    "SceneStore",
    "SceneSummary",
    "Sealed",
    "Storage",
    "StorageError",
    "TooLarge",
    "Unavailable",
    "Unsupported",
    "UnsupportedSchema",
    "id_error",
    "open_storage",
    "path_error",
]
