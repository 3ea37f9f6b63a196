"""Avatars and the documents that they know."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.providers.runway.sandbox.driver import Caller, data_uri, opened, picture
from tests.providers.runway.sandbox.resources.samples import AVATAR, DOCUMENT, VOICE, found, made, wrong

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_an_avatar_becomes_ready_and_shows_its_picture(runway: Caller) -> None:
    fresh = await made(runway, "avatars", AVATAR)
    await runway.advance(10)

    ready = await found(runway, f"avatars/{fresh['id']}")

    assert (fresh["status"], fresh["processedImageUri"]) == ("PROCESSING", None)
    assert fresh["voice"] == {
        "type": "runway-live-preset",
        "presetId": "adrian",
        "name": "Adrian",
        "description": "The preset voice Adrian.",
    }
    assert ready["status"] == "READY"
    for uri in (ready["referenceImageUri"], ready["processedImageUri"]):
        reply = await runway.call("GET", uri, headers={})
        assert Image.open(BytesIO(reply.data)).format == "JPEG"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": "x" * 51, "personality": "x" * 10_001}, {"name", "personality"}),
        ({"personality": "", "startScript": "x" * 2001}, {"personality", "startScript"}),
        ({"startScript": None}, {"startScript"}),
        ({"voice": {"type": "runway-live-preset", "presetId": "Maya"}}, {"voice.presetId"}),
        ({"voice": {"type": "custom", "id": NOBODY}}, {"voice.id"}),
        ({"documentIds": [NOBODY, "x"]}, {"documentIds.0", "documentIds.1"}),
        ({"documentIds": [NOBODY] * 51}, {"documentIds", *(f"documentIds.{index}" for index in range(51))}),
        ({"referenceImage": data_uri(b"no picture")}, {"referenceImage"}),
        ({"imageProcessing": "sharpen"}, {"imageProcessing"}),
    ],
)
async def test_what_is_wrong_with_an_avatar_is_named(runway: Caller, changes: dict[str, Any], fields: set[str]) -> None:
    assert await wrong(runway, "POST", "avatars", {**AVATAR, **changes}) == fields


async def test_its_picture_is_not_changed_while_it_is_processed(runway: Caller) -> None:
    path = f"/v1/avatars/{(await made(runway, 'avatars', AVATAR))['id']}"
    change = {"referenceImage": data_uri(picture(80, 80))}

    early = await runway.call("PATCH", path, json=change)
    renamed = await runway.call("PATCH", path, json={"name": "Other"})
    await runway.advance(10)
    late = await runway.call("PATCH", path, json=change)

    assert (early.status, set(early.json) >= {"error"}) == (409, True)
    assert (renamed.status, renamed.json["name"]) == (200, "Other")
    assert (late.status, late.json["status"]) == (200, "PROCESSING")


async def test_a_change_names_something_and_null_clears_the_script(runway: Caller) -> None:
    avatar = await made(runway, "avatars", AVATAR, startScript="Hello.")

    assert await wrong(runway, "PATCH", f"avatars/{avatar['id']}", {}) == {""}
    cleared = await runway.call("PATCH", f"/v1/avatars/{avatar['id']}", json={"startScript": None})
    assert cleared.json["startScript"] is None


async def test_documents_know_who_uses_them_and_leave_no_trace(runway: Caller) -> None:
    document = await made(runway, "documents", DOCUMENT)
    avatar = await made(runway, "avatars", AVATAR, documentIds=[document["id"]])

    used = await found(runway, f"documents/{document['id']}")
    await runway.call("DELETE", f"/v1/documents/{document['id']}")
    left = await found(runway, f"avatars/{avatar['id']}")

    assert document["usedBy"] == []
    assert used["usedBy"] == [{"id": avatar["id"], "name": "Guide", "imageUrl": None}]
    assert left["documentIds"] == []


async def test_a_voice_that_was_deleted_is_said_to_be(runway: Caller) -> None:
    voice_id = (await made(runway, "voices", VOICE))["id"]
    avatar = await made(runway, "avatars", AVATAR, voice={"type": "custom", "id": voice_id})

    await runway.call("DELETE", f"/v1/voices/{voice_id}")

    assert avatar["voice"] == {"type": "custom", "id": voice_id, "deleted": False, "name": "Ada", "description": None}
    gone = (await found(runway, f"avatars/{avatar['id']}"))["voice"]
    assert gone == {"type": "custom", "id": voice_id, "deleted": True}


async def test_documents_are_listed_without_content_and_changed_in_place(runway: Caller) -> None:
    document = await made(runway, "documents", DOCUMENT)
    path = f"documents/{document['id']}"

    assert (await runway.call("PATCH", f"/v1/{path}", json={"content": "# South"})).status == 204
    changed = await found(runway, path)
    (listed,) = (await found(runway, "documents"))["data"]

    assert (changed["content"], changed["name"]) == ("# South", "Map")
    assert listed == {name: value for name, value in changed.items() if name != "content"}
    assert await wrong(runway, "PATCH", path, {}) == {""}
    assert await wrong(runway, "POST", "documents", {"name": "x" * 256, "content": "x" * 200_001}) == {
        "name",
        "content",
    }


async def test_unknown_members_pass_where_the_api_is_lax_unless_strictness_is_on(runway: Caller) -> None:
    assert await wrong(runway, "POST", "documents", {**DOCUMENT, "colour": "red"}) == {""}
    await runway.control("PATCH", "settings", {"strict": False})

    assert await made(runway, "documents", DOCUMENT, colour="red")
    assert await wrong(runway, "PATCH", f"voices/{(await made(runway, 'voices', VOICE))['id']}", {"x": 1}) == {""}


async def test_resources_survive_a_restart(tmp_path: Any) -> None:
    async with opened(state_dir=tmp_path) as runway:
        document = await made(runway, "documents", DOCUMENT)
        avatar = await made(runway, "avatars", AVATAR, documentIds=[document["id"]])
        gone = await made(runway, "documents", DOCUMENT)
        await runway.call("DELETE", f"/v1/documents/{gone['id']}")
    async with opened(state_dir=tmp_path) as runway:
        await runway.advance(10)
        kept = await found(runway, f"avatars/{avatar['id']}")
        assert (kept["status"], kept["documentIds"]) == ("READY", [document["id"]])
        assert [item["id"] for item in (await found(runway, "documents"))["data"]] == [document["id"]]
        assert (await runway.call("GET", kept["processedImageUri"], headers={})).status == 200
