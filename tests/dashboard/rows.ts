/**
 * Measures the page's main thread with 1,000 rows of jobs, idle and under 100 changes a second: node rows.js SECONDS ROUNDS
 *
 * The server is a real one, and what the socket says is made here. Prints one JSON object: of each round the shares of a core.
 */
import { openBrowser } from "../clients/typescript/browser.js";
import { Rig } from "../clients/typescript/rig.js";

const ROWS = 1000;
const CHANGES_A_SECOND = 100;
const TICK_MS = 50;
const [SECONDS = 5, ROUNDS = 3] = process.argv.slice(2).map(Number);

const rig = new Rig({ http: true });
await rig.open();
const browser = await openBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  let revision = 0;
  let say = (_: object): void => undefined;
  const tell = (event: string, index: number, progress: number): void => {
    revision += 1;
    const time = new Date().toISOString();
    const job = {
      jobId: `0190b0a0-0000-7000-8000-${String(index).padStart(12, "0")}`,
      projectId: "many",
      sceneId: `scene-${index % 40}`,
      kind: "MEDIA_KIND_VIDEO",
      state: "JOB_STATE_RUNNING",
      stage: "JOB_STAGE_GENERATING",
      revision: String(revision),
      createTime: time,
      startTime: time,
      estimatedCredits: 60,
      progress,
    };
    say({ type: "event", event, revision: String(revision), time, job });
  };
  await page.routeWebSocket("**/api/v1/socket", (socket) => {
    say = (frame) => socket.send(JSON.stringify(frame));
    socket.onMessage((data) => {
      if ((JSON.parse(String(data)) as { type: string }).type !== "subscribe") return;
      for (let index = 0; index < ROWS; index += 1) tell("snapshot", index, 0);
      say({ type: "checkpoint", projectId: "many", revision: String(revision) });
    });
    say({ type: "welcome", heartbeatSeconds: 15, version: "bench", name: "", limits: {} });
  });
  await page.goto(`${rig.http}/#/p/many/jobs`);
  await page.waitForFunction((rows) => document.querySelectorAll("[data-job]").length === rows, ROWS);
  const metrics = await page.context().newCDPSession(page);
  // Time on a processor, so that neighbours on the machine count for less.
  await metrics.send("Performance.enable", { timeDomain: "threadTicks" });
  const used = async (name: string): Promise<number> => (await metrics.send("Performance.getMetrics")).metrics.find((each) => each.name === name)?.value ?? 0;

  const share = async (changes: boolean): Promise<{ readonly task: number; readonly script: number }> => {
    const [task, script, begun] = [await used("TaskDuration"), await used("ScriptDuration"), performance.now()];
    let sent = 0;
    while (performance.now() - begun < SECONDS * 1000) {
      const due = changes ? Math.floor(((performance.now() - begun) / 1000) * CHANGES_A_SECOND) : 0;
      for (; sent < due; sent += 1) tell("progress", (sent * 7) % ROWS, ((revision / ROWS) % 10) / 10);
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    const seconds = (performance.now() - begun) / 1000;
    return { task: ((await used("TaskDuration")) - task) / seconds, script: ((await used("ScriptDuration")) - script) / seconds };
  };
  await share(true);
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) rounds.push({ idle: await share(false), busy: await share(true) });
  const shown = await page.evaluate(() => document.querySelectorAll("[data-job]").length);
  if (shown !== ROWS) throw new Error(`${shown} rows are left`);
  console.log(JSON.stringify(rounds));
} finally {
  await browser.close();
  await rig.close();
}
