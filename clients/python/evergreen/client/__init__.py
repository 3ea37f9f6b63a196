"""The clients for daily use: jobs come as values, with a handle to wait, follow, cancel and download."""

from evergreen.client.aio import AsyncClient
from evergreen.client.blocking import Client, JobHandle
from evergreen.client.handle import AsyncJobHandle

__all__ = ["AsyncClient", "AsyncJobHandle", "Client", "JobHandle"]
