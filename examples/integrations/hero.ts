/** Keeps a picture as the hero of a scene, and makes a clip of it: `node dist/hero.js PICTURE CLIP`. */
import { Client } from "@evergreen/video";

const [picture = "hero.jpg", target = "clip.mp4"] = process.argv.slice(2);
const client = new Client();
const scene = { projectId: "film", sceneId: "hero" };
const { path } = await client.scenes.upload({ ...scene, path: "images/hero.jpg" }, picture);
const clip = await client.generate({
  ...scene,
  model: "gen4_turbo",
  ratio: "1280:720",
  durationSeconds: 5,
  image: `asset:${path}`,
});
for await (const { stage, state, progress } of clip.watch()) console.error(stage ?? state, `${Math.round(progress * 100)}%`);
// Run again after a crash, the download goes on where it was.
console.log(...(await clip.download(target, { overwrite: true })));
client.close();
