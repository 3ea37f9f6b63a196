"""What a shell completes by asking the service."""

import pytest

from evergreen.v1.scene_pb2 import Asset, Folder, GetSceneResponse, ListScenesResponse, Scene
from evergreen.v1.video_pb2 import ListModelsResponse, ListProjectsResponse, ListVideosResponse, Model, Project
from tests.clients.command_line import CommandLine
from tests.clients.scripted import ScriptedService, job

ID = "0198c2d4-7f3a-7c11-9d5e-2f6b0e450440"


async def complete(evergreen: CommandLine, words: str, **environment: str) -> list[str]:
    count = str(len(words.split(" ")) - 1)
    settings = {"_EVERGREEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count, **environment}
    return (await evergreen(**settings)).stdout.splitlines()


@pytest.fixture
def answering(service: ScriptedService) -> ScriptedService:
    scene = Scene(scene_id="s1", folders=[Folder(name="videos", assets=[Asset(path="videos/a.mp4")])])
    service.answers["ListProjects"] = [ListProjectsResponse(projects=[Project(project_id="film")])]
    service.answers["ListScenes"] = [ListScenesResponse(scenes=[scene])]
    service.answers["GetScene"] = [GetSceneResponse(scene=scene)]
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[job(ID), job("0198c2d4-other")])]
    service.answers["ListModels"] = [ListModelsResponse(models=[Model(model="gen4_turbo"), Model(model="veo3")])]
    return service


async def test_projects_scenes_jobs_models_and_files_of_scenes_are_completed(
    answering: ScriptedService, evergreen: CommandLine
) -> None:
    assert await complete(evergreen, "evergreen job list --project f") == ["plain,film"]
    assert await complete(evergreen, "evergreen scene show --project film --scene s") == ["plain,s1"]
    assert await complete(evergreen, "evergreen job status …450440") == [f"plain,{ID}"]
    assert await complete(evergreen, "evergreen video generate --model gen") == ["plain,gen4_turbo"]
    where = {"EVERGREEN_PROJECT": "film", "EVERGREEN_SCENE": "s1"}
    assert await complete(evergreen, "evergreen scene download v", **where) == ["plain,videos/a.mp4"]


async def test_files_are_completed_without_a_service(evergreen: CommandLine) -> None:
    nowhere = {"EVERGREEN_ENDPOINT": "127.0.0.1:1"}

    assert await complete(evergreen, "evergreen video generate --image pic", **nowhere) == ["file,pic"]
    assert not any(await complete(evergreen, "evergreen job list --project f", **nowhere))
