"""What VideoService tells about itself and its caller, rather than about a job."""

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version

from evergreen.v1 import video_pb2
from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import CLIPS, FieldError, InvalidRequest, Operation, kind_made
from evergreen_server.rpc.access.policy import ANYONE, Caller, Right
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.convert import account_message, model_message, project_message
from evergreen_server.rpc.messages.fields import read_kinds
from evergreen_server.rpc.messages.paging import make_token, read_place
from evergreen_storage import id_error

USUAL_PROJECTS, MAX_PROJECTS = 100, 1000
PROJECTS = "projects"
"""The scope of page tokens."""
DISTRIBUTION = "evergreen-video"
RIGHTS: Mapping[Right, video_pb2.Right.ValueType] = {
    right: video_pb2.Right.Value(f"RIGHT_{right.name}") for right in Right
}


class OverviewMethods:
    """Methods of evergreen.v1.VideoService; each may raise any exception of the error table."""

    def __init__(self, *, store: JobStore, account: AccountReader, models: ModelTable) -> None:
        self._store = store
        self._account = account
        self._models = models
        self._version = version(DISTRIBUTION)

    async def ListModels(self, message: video_pb2.ListModelsRequest, _context: Context) -> video_pb2.ListModelsResponse:
        field_errors: list[FieldError] = []
        kinds = read_kinds(message.kinds, field_errors)
        if field_errors:
            raise InvalidRequest(field_errors)
        # Clients of the release before know no other video than a clip.
        made = {operation for operation in Operation if kind_made(operation) in kinds} if message.kinds else CLIPS
        models = [model_message(info, made) for info in self._models.models()]
        return video_pb2.ListModelsResponse(models=[model for model in models if model.rules])

    async def GetAccount(self, message: video_pb2.GetAccountRequest, _context: Context) -> video_pb2.GetAccountResponse:
        project_id = message.project_id
        if project_id and (text := id_error("project", project_id)):
            raise InvalidRequest([FieldError(field="project_id", description=text)])
        account, totals = await self._account.read(), await self._store.totals(project_id)
        return account_message(account, totals, cap=self._store.cap(project_id) if project_id else None)

    async def ListProjects(
        self, message: video_pb2.ListProjectsRequest, context: Context
    ) -> video_pb2.ListProjectsResponse:
        field_errors: list[FieldError] = []
        if message.page_size < 0:
            field_errors.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PROJECTS}"))
        after = read_place(message.page_token, PROJECTS, wrong=partial(id_error, "project"), errors=field_errors)
        if field_errors:
            raise InvalidRequest(field_errors)
        size = min(message.page_size or USUAL_PROJECTS, MAX_PROJECTS)
        caller = context.caller
        found = await self._store.projects(after=after, limit=size + 1, owned=caller.projects, owner=caller.owner("*"))
        return video_pb2.ListProjectsResponse(
            projects=[project_message(each, cap=self._store.cap(each.project_id)) for each in found[:size]],
            next_page_token=make_token(found[size - 1].project_id, PROJECTS) if len(found) > size else "",
        )

    async def GetCaller(self, _message: video_pb2.GetCallerRequest, context: Context) -> video_pb2.GetCallerResponse:
        caller = context.caller
        return video_pb2.GetCallerResponse(
            name=caller.name,
            rights=sorted(RIGHTS[right] for right in Right if right in caller.rights or _includes(caller, right)),
            all_projects=caller.projects is None,
            projects=sorted(caller.projects or ()),
            tokens_required=caller is not ANYONE,
            version=self._version,
        )


def _includes(caller: Caller, right: Right) -> bool:
    """Returns whether the caller has a right in each of its projects, although its token does not name it."""
    return not caller.guarded and caller.may(right)
