/**
 * Makes the parts of a scene: a picture, a line and a sound at once, a clip from the picture, the line in French.
 *
 *     node dist/scene.js PROJECT SCENE FOLDER PICTURE
 *
 * Shows the progress of all jobs, and copies their files to FOLDER. `EVERGREEN_ENDPOINT` is the service's host:port.
 */
import { basename, join } from "node:path";

import { Client, type Job, MediaKind, MediaRole } from "@evergreen/video";

const [projectId = "film", sceneId = "scene-1", folder = ".", rocket = "tests/samples/rocket.jpg"] = process.argv.slice(2);
const client = new Client(process.env["EVERGREEN_ENDPOINT"] ?? "127.0.0.1:50051");
const scene = { projectId, sceneId };

/** Shows the progress of jobs until all have succeeded, and returns them. Rejects with JobFailed. */
async function follow(jobs: readonly Job[]): Promise<Job[]> {
  for await (const { body } of client.watch({ jobIds: jobs.map((job) => job.jobId) })) {
    const job = body.case === "event" ? body.value.job : undefined;
    if (job) console.error(`${MediaKind[job.kind].toLowerCase().padEnd(6)}  ${Math.round(job.progress * 100)}%`);
  }
  return Promise.all(jobs.map((job) => client.wait(job.jobId)));
}

/** What a job has made can be the input of the next: it lies in the scene. */
function made(job: Job | undefined) {
  return { source: { case: "asset" as const, value: job?.outputs[0]?.asset ?? "" } };
}

const first = await follow(await Promise.all([
  client.generateImage({
    ...scene,
    model: "gen4_image",
    ratio: "1280:720",
    promptText: "@rocket on its launch pad at dawn",
    references: { rocket },
  }),
  client.generateSpeech({
    ...scene,
    model: "eleven_v3",
    voice: "Maya",
    text: "Ten seconds to lift-off. Everyone is holding their breath.",
  }),
  client.generateSound({
    ...scene,
    model: "eleven_text_to_sound_v2",
    promptText: "A rocket engine starts",
    durationSeconds: 4,
  }),
]));
const [picture, line] = first;
const then = await follow(await Promise.all([
  client.generate({
    ...scene,
    model: "gen4_turbo",
    ratio: "1280:720",
    durationSeconds: 5,
    promptText: "The rocket climbs",
    media: [{ ...made(picture), role: MediaRole.FIRST_FRAME }],
  }),
  client.generateSpec({
    ...scene,
    model: "eleven_voice_dubbing",
    operation: { case: "dubbing", value: { audio: made(line), targetLanguage: "fr" } },
  }),
]));
for (const { outputs } of [...first, ...then]) {
  for (const { asset } of outputs) {
    const target = join(folder, basename(asset));
    await client.scenes.download({ ...scene, path: asset }, target);
    console.log(target);
  }
}
client.close();
