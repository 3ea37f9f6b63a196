/**
 * Makes the parts of a scene: a picture, a line and a sound at once, a clip from the picture, the line in French.
 *
 *     node dist/scene.js PROJECT SCENE FOLDER PICTURE
 *
 * Tells how each job ends, and copies their files to FOLDER. `EVERGREEN_ENDPOINT` is the service's HOST:PORT.
 */
import { Client, type JobHandle } from "@evergreen/video";

const [projectId = "film", sceneId = "scene-1", folder = ".", rocket = "tests/samples/rocket.jpg"] = process.argv.slice(2);
const client = new Client();
const scene = { projectId, sceneId };

/** Tells how each job ends, as it does, and rejects with the error of the first that has not succeeded. */
async function ended(...jobs: readonly JobHandle[]): Promise<void> {
  for await (const job of client.asCompleted(jobs)) console.error(`${job.kind.padEnd(6)}  ${job.state}`);
  for (const job of jobs) await job.wait();
}

const picture = await client.generateImage({
  ...scene,
  model: "gen4_image",
  ratio: "1280:720",
  promptText: "@rocket on its launch pad at dawn",
  references: { rocket },
});
const line = await client.generateSpeech({
  ...scene,
  model: "eleven_v3",
  voice: "Maya",
  text: "Ten seconds to lift-off. Everyone is holding their breath.",
});
const sound = await client.generateSound({
  ...scene,
  model: "eleven_text_to_sound_v2",
  promptText: "A rocket engine starts",
  durationSeconds: 4,
});
await ended(picture, line, sound);
// What a job has made can be the input of the next: it lies in the scene.
const clip = await client.generate({
  ...scene,
  model: "gen4_turbo",
  ratio: "1280:720",
  durationSeconds: 5,
  promptText: "The rocket climbs",
  image: `asset:${picture.job.outputs[0]?.asset}`,
});
const audio = { source: { case: "asset" as const, value: line.job.outputs[0]?.asset ?? "" } };
const french = await client.generateSpec({
  ...scene,
  model: "eleven_voice_dubbing",
  operation: { case: "dubbing", value: { audio, targetLanguage: "fr" } },
});
await ended(clip, french);
for (const made of [picture, line, sound, clip, french]) {
  for (const file of await made.download(folder)) console.log(file);
}
client.close();
