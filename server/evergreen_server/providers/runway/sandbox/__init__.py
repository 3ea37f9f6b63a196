"""A local Runway: the provider's HTTP API, tasks that run on a simulated clock, and really rendered files.

It is a test double that is strict about requests and exact about money: credits are charged when a task is created
and refunded as the provider refunds them; tiers throttle, and daily quotas reject. Beside tasks it keeps what else an
account has: voices, avatars, documents, routers, workflows, realtime sessions and their conversations. Point any
Runway client at `Sandbox.url` with a key of the right form (`key_` and 128 hex digits, such as `SANDBOX_KEY`); nothing
else changes.

    async with Sandbox(speed=10, settings=Settings(render_scale=0.25)) as sandbox:
        client = AsyncRunwayML(api_key=SANDBOX_KEY, base_url=sandbox.url)

The control API is JSON under /sandbox (`Content-Type: application/json`). It answers only programs on this machine:
it rejects pages of another origin, and a `Host` that is not this machine's. Unknown members and absurd numbers get a
400 that names them.

| call | what it does |
|---|---|
| POST /sandbox/faults | adds a scripted fault (below); 201 with its `id` |
| GET /sandbox/faults | the rules with `met` (calls matched) and `struck` (calls hit) |
| DELETE /sandbox/faults[/ID] | removes all rules, or one |
| GET /sandbox/calls?after=SEQ&wait=SECONDS | calls numbered above SEQ (default 0); waits up to 60 s for one. |
|   | Filters: `operation`, `taskId`, `promptText` (substring), `limit`; `latest` is the highest number |
| GET /sandbox/tasks | every task ever created: status, deleted, credits, times, size, body digest |
| PATCH /sandbox/account | `creditBalance`, `tier` 1..5, `maxConcurrentGenerations`, `maxDailyGenerations` (null: no |
|   | limit), `models: {model: {the same two}}`, `apiKeys` (list of any texts, or null for any well-formed key) |
| PATCH /sandbox/settings | any field of `Settings`, such as `{"render_scale": 0.25, "progress": "none"}` |
| POST /sandbox/workflows | `name`, `description`, `graph: {nodes, edges, version}`: publishes a version of a |
|   | workflow, which only the provider's app could do. A node may have `outputs` and `run`, as |
|   | `resources/workflows.py` says |
| POST /sandbox/conversations | `avatar`, `timestamp`, `duration`, `tools`, `transcript`, `failure`, `failureCode` |
| POST /sandbox/webapp_usage | `credits`, `email`, `tool`, `workspaceId`, `workspaceName`, `timestamp`: a row of use |
|   | of the linked workspace |
| POST /sandbox/audit_logs | `action`, `actorEmail`, `actorUsername`, `actorDeleted`, `clientIpAddress`, `metadata`, |
|   | and the last three of the row above: an entry of that workspace's audit log |
| GET, POST /sandbox/clock | simulated time; `{"advance": SECONDS}` moves it, `{"speed": N}` sets its speed (0: stop) |

With a `lost_answer` to a create, the SDKs' own retries create a second, paid task, as they would at the provider:
they repeat the POST, and the provider cannot recognise a repetition.

A fault is `{"operation", "path", "method", "match", "nth", "count", "fault": {"kind", …}}`; everything except `fault`
is optional. `operation` is `create` (any that makes a task) or the name of one call, such as image_to_video, get_task,
delete_task, create_upload, send_upload, get_organization, query_usage, output, list_voices or update_avatar (a wrong
name is answered with all of them); if omitted, it means all operations to which the kind applies. `path` is a glob.
`match` is `{"promptText", "model", "taskId"}`; `promptText` is a substring of the task's prompt, and also matches
calls about the task and its output. The rule applies from the `nth` matching call on (default 1), `count` times
(default 1, null: always). Pauses are in real seconds; all times of tasks are in simulated seconds.

| kind | members | what happens |
|---|---|---|
| status | status, body (text or JSON), contentType, headers, retryAfter, accept | answers so (5xx: HTML by default); |
|   |   | with `accept: true` only after carrying out the call, so that a task exists |
| lost_answer | | carries out the call, then drops the connection |
| drop | | drops the connection before carrying out the call |
| hang | seconds, accept | is silent for this time, then drops; with `accept: true` carries out the call first |
| slow | seconds | waits before carrying out the call |
| invalid_json | | carries out the call and sends half of the answer |
| failure | failureCode (absent: none), message, at (fraction of the run, 0.5) | the task of this create ends FAILED; |
|   |   | also of create_voice, create_avatar and create_realtime_session |
| throttle | seconds | the task of this create stays THROTTLED for this time |
| large_output | bytes | pads the outputs of this create's task (still playable MP4s), streamed |
| many_outputs | number (1..10) | the task of this create has this many outputs |
| status_word | word | a GET of a task returns this status |
| gone | | a GET of a task returns 404 although it was not deleted |
| truncate | at (0.5) | the download is cut off at this fraction of its announced length |
| wrong_length | at (0.5) | the download ends cleanly at this fraction, with a matching Content-Length |
| expired_url, output_404, not_a_video | | the download returns 403, 404, or a web page as the file |
"""

from evergreen_server.providers.runway.sandbox.server import SANDBOX_KEY, Sandbox, run
from evergreen_server.providers.runway.sandbox.settings import Settings

__all__ = ["SANDBOX_KEY", "Sandbox", "Settings", "run"]
