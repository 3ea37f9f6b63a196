/** Makes the README's picture of the dashboard: node picture.js FILE */
import { WireClient, JobState } from "@evergreen/video/web";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig, ROCKET } from "../clients/typescript/rig.js";
import { readFile } from "node:fs/promises";

const PROMPTS = [
  "Wide shot of a fjord harbour at dusk, slow push in, gulls cross the sun, calm water",
  "Camera rises through fog over a pine forest until the first light hits the lens",
  "Rooftop at blue hour, windows light up one after the other, handheld",
  "A rocket waits for its morning, floodlights on, slow dolly to the left",
  "Dunes breathe in the heat, a line of camels far away, drone orbit",
  "Macro: dew on pine needles, a drop falls in slow motion",
];
const LOST = "Violet ridgelines at dawn, slow lateral dolly, long lens compression";

const rig = new Rig({ http: true, speed: "3" });
await rig.open();
const client = new WireClient(rig.http);
const browser = await openBrowser();
try {
  const picture = new Blob([await readFile(ROCKET)]);
  const make = (promptText: string, index: number) => {
    const clip = { projectId: "aurora", sceneId: `scene-0${(index % 4) + 1}`, ratio: "1280:720", durationSeconds: index % 2 ? 5 : 10 };
    return client.generate({ ...clip, model: index % 3 ? "gen4.5" : "gen4_turbo", promptText, ...(index % 3 !== 1 && { image: picture }) });
  };
  await rig.sandbox("POST", "faults", { operation: "create", match: { promptText: LOST }, fault: { kind: "lost_answer" } });
  const lost = await make(LOST, 1);
  const first = await Promise.all(PROMPTS.slice(3).map(make));
  for await (const { body } of client.watch({ jobIds: [lost.jobId] })) {
    if (body.case === "event" && body.value.job?.state === JobState.NEEDS_ATTENTION) break;
  }
  for (const { jobId } of first) await client.wait(jobId);
  const page = await browser.newPage({ viewport: { width: 1360, height: 850 }, colorScheme: "dark" });
  await page.goto(rig.http);
  await page.getByText("Activity").waitFor();
  const others = await Promise.all(PROMPTS.slice(0, 3).map(make));
  for await (const { body } of client.watch({ jobIds: [others[0]!.jobId] })) {
    if (body.case === "event" && (body.value.job?.progress ?? 0) > 0.3) break;
  }
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await page.screenshot({ path: process.argv[2]! });
} finally {
  await browser.close();
  client.close();
  await rig.close();
}
