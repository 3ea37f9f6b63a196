"""Where scenes live: one small storage protocol, its engines, and the scene tree upon it."""

from .document import UnsupportedSchema
from .keys import FOLDERS, id_fault, path_fault
from .local import LocalStorage
from .locks import Lock
from .memory import MemoryStorage
from .opening import open_storage
from .scenes import AssetNotFound, SceneNotFound, SceneStore
from .storage import (
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
from .uploads import AssetConflict
from .values import Asset, Scene, SceneSummary

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
    "id_fault",
    "open_storage",
    "path_fault",
]
