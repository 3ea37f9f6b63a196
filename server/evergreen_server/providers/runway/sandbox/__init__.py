"""A local Runway: the provider's HTTP API, tasks that live by a simulated clock, and MP4s that are truly rendered.

It is a test double that is strict about requests and honest about money: credits are charged when a task is made and
given back as the provider gives them back, tiers throttle, daily quotas refuse. Point any Runway client at
`Sandbox.url` with a key of the right form (`key_` and 128 hex digits, such as `SANDBOX_KEY`); nothing else changes.

    async with Sandbox(speed=10, settings=Settings(render_scale=0.25)) as sandbox:
        client = AsyncRunwayML(api_key=SANDBOX_KEY, base_url=sandbox.url)

The control API is JSON under /sandbox (`Content-Type: application/json`) and answers programs on this machine: never a
page of another origin, nor under a `Host` that is not this machine's. Unknown members, and numbers beyond reason, are a
400 that names them.

| call | what it does |
|---|---|
| POST /sandbox/faults | adds a scripted fault (below); 201 with its `id` |
| GET /sandbox/faults | the rules with `met` (calls matched) and `struck` (calls hit) |
| DELETE /sandbox/faults[/ID] | removes all, or one |
| GET /sandbox/calls?after=SEQ&wait=SECONDS | calls numbered above SEQ (default 0); waits up to 60 s for one. |
|   | Narrowed by `operation`, `taskId`, `promptText` (substring), `limit`; `latest` is the highest number |
| GET /sandbox/tasks | every task ever made: status, deleted, credits, times, size, body digest |
| PATCH /sandbox/account | `creditBalance`, `tier` 1..5, `maxConcurrentGenerations`, `maxDailyGenerations` (null: no |
|   | limit), `models: {model: {the same two}}`, `apiKeys` (list of any texts, or null for any well-formed key) |
| PATCH /sandbox/settings | any field of `Settings`, such as `{"render_scale": 0.25, "progress": "none"}` |
| GET, POST /sandbox/clock | simulated time; `{"advance": SECONDS}` moves it, `{"speed": N}` sets its pace (0: stop) |

A `lost_answer` to a create makes a second task, paid too, under the SDKs' own retries, as it would at the provider:
they repeat a POST, and nothing there tells that it is a repetition.

A fault is `{"operation", "path", "method", "match", "nth", "count", "fault": {"kind", …}}`; all but `fault` may be
left out. `operation` is `create` (any of the three) or one of image_to_video, text_to_video, video_to_video, get_task,
delete_task, create_upload, send_upload, get_organization, query_usage, output; left out, it is every one that the kind
can strike. `path` is a glob. `match` is `{"promptText", "model", "taskId"}`, the first a substring of the task's
prompt, also for calls about the task and its output. The rule strikes from the `nth` matching call on (default 1),
`count` times (default 1, null: always). Pauses are in real seconds, everything about tasks in simulated ones.

| kind | members | what happens |
|---|---|---|
| status | status, body (text or JSON), contentType, headers, retryAfter, accept | answers so (5xx: HTML unless told); |
|   |   | with `accept: true` only after the call was acted on, so that a task exists |
| lost_answer | | acts on the call, then drops the connection |
| drop | | drops the connection before acting on the call |
| hang | seconds, accept | says nothing for so long, then drops; with `accept: true` acts on the call first |
| slow | seconds | waits before acting on the call |
| invalid_json | | acts on the call and sends half of the answer |
| failure | failureCode (absent: none), message, at (part of the run, 0.5) | the task of this create ends FAILED |
| throttle | seconds | the task of this create stays THROTTLED for so long |
| large_output | bytes | pads the output of this create's task (still a playable MP4), streamed |
| many_outputs | number (1..10) | the task of this create has so many outputs |
| status_word | word | a GET of a task answers this status |
| gone | | a GET of a task answers 404 though it was not deleted |
| truncate | at (0.5) | the download breaks off at this part of its promised length |
| wrong_length | at (0.5) | the download ends cleanly at this part, its Content-Length saying so |
| expired_url, output_404, not_a_video | | the download answers 403, 404, or a web page as video/mp4 |
"""

from evergreen_server.providers.runway.sandbox.server import SANDBOX_KEY, Sandbox, run
from evergreen_server.providers.runway.sandbox.settings import Settings

__all__ = ["SANDBOX_KEY", "Sandbox", "Settings", "run"]
