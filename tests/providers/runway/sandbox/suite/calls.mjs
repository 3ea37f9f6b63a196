// Calls every method of the official Node SDK once, in an order in which each finds what it needs, and checks what it
// answers. Prints the number of methods; exits non-zero when one is missing from the table, fails, or answers wrongly.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import RunwayML from "@runwayml/sdk";

const { url, key, image, video, audio, workflow, event } = JSON.parse(process.argv[2]);
const client = new RunwayML({ apiKey: key, baseURL: url, maxRetries: 0 });

const made = {};
const voice = { type: "runway-preset", presetId: "Maya" };
const preset = { type: "runway-preset", presetId: "cat-character" };
const day = { from: "2026-01-01", to: "2026-01-02" };
const version = "2026-06";

const task = ({ id, estimatedCost }) => assert.ok(id.length === 36 && estimatedCost.credits >= 0);
const bare = ({ id }) => assert.equal(id.length, 36);
const routed = ({ id, routing }) => assert.ok(id.length === 36 && routing.model && routing.resolvedInput);
const listed = (page) => assert.ok(Array.isArray(page.data) && page.data.length > 0);
const page = (found) => assert.ok(Array.isArray(found.data));
const nothing = (answer) => assert.ok(answer === undefined || answer === null || answer === "");
const same = (name) => (answer) => assert.equal(answer.id, made[name].id);

// method: [its call, what its answer must be]; the answer is kept in `made` under the name of the resource.
const table = {
  "uploads.createEphemeral": [
    async () => client.uploads.createEphemeral({ file: new File([await readFile(image.file)], "frame.png") }),
    ({ uri }) => assert.match(uri, /^runway:\/\//),
  ],
  "imageToVideo.create": [
    () => client.imageToVideo.create({ model: "gen4.5", promptImage: image.uri, promptText: "x", ratio: "1280:720", duration: 5 }),
    task,
  ],
  "textToVideo.create": [
    () => client.textToVideo.create({ model: "gen4.5", promptText: "x", ratio: "1280:720", duration: 5 }),
    task,
  ],
  "videoToVideo.create": [() => client.videoToVideo.create({ model: "aleph2", videoUri: video.uri, promptText: "x" }), task],
  "videoToHdr.create": [() => client.videoToHdr.create({ model: "ruby", videoUri: video.uri }), task],
  "textToImage.create": [
    () => client.textToImage.create({ model: "gen4_image", promptText: "x", ratio: "1920:1080" }),
    task,
  ],
  "characterPerformance.create": [
    () =>
      client.characterPerformance.create({
        model: "act_two",
        character: { type: "image", uri: image.uri },
        reference: { type: "video", uri: video.uri },
      }),
    task,
  ],
  "textToSpeech.create": [() => client.textToSpeech.create({ model: "eleven_v3", promptText: "x", voice }), task],
  "soundEffect.create": [() => client.soundEffect.create({ model: "eleven_text_to_sound_v2", promptText: "rain" }), task],
  "voiceIsolation.create": [
    () => client.voiceIsolation.create({ model: "eleven_voice_isolation", audioUri: audio.uri }),
    task,
  ],
  "voiceDubbing.create": [
    () => client.voiceDubbing.create({ model: "eleven_voice_dubbing", audioUri: audio.uri, targetLang: "es" }),
    task,
  ],
  "speechToSpeech.create": [
    () =>
      client.speechToSpeech.create({
        model: "eleven_multilingual_sts_v2",
        media: { type: "audio", uri: audio.uri },
        voice,
      }),
    task,
  ],
  "imageUpscale.create": [
    () => client.imageUpscale.create({ model: "magnific_precision_upscaler_v2", imageUri: image.uri }),
    task,
  ],
  "videoUpscale.create": [
    () => client.videoUpscale.create({ model: "magnific_video_upscaler_creative", videoUri: video.uri }),
    task,
  ],
  "recipes.adLocalization": [
    () => client.recipes.adLocalization({ version, referenceImage: { uri: image.uri }, targetLanguage: "fr" }),
    task,
  ],
  "recipes.marketingStockImage": [() => client.recipes.marketingStockImage({ version, prompt: "x" }), task],
  "recipes.multiShotVideo": [() => client.recipes.multiShotVideo({ version, mode: "auto", prompt: "x" }), task],
  "recipes.productAd": [() => client.recipes.productAd({ version, productImages: [{ uri: image.uri }] }), task],
  "recipes.productCampaignImage": [
    () => client.recipes.productCampaignImage({ version, image: { uri: image.uri }, prompt: "x" }),
    task,
  ],
  "recipes.productSwap": [
    () =>
      client.recipes.productSwap({
        version,
        referenceVideo: { uri: video.uri },
        originalProductImage: { uri: image.uri },
        newProductImages: [{ uri: image.uri }],
      }),
    task,
  ],
  "recipes.productUgc": [
    () => client.recipes.productUgc({ version, characterImage: { uri: image.uri }, productImage: { uri: image.uri } }),
    task,
  ],
  "tasks.retrieve": [() => client.tasks.retrieve(made.textToVideo.id), same("textToVideo")],
  "tasks.delete": [() => client.tasks.delete(made.textToVideo.id), nothing],

  "routers.create": [() => client.routers.create({ slug: "films", settings: { optimizeFor: "cost" } }), bare],
  "routers.retrieve": [() => client.routers.retrieve(made.routers.id), same("routers")],
  "routers.update": [
    () => client.routers.update(made.routers.id, { settings: { maxCreditsPerGeneration: { video: 500 } } }),
    ({ version }) => assert.equal(version, 2),
  ],
  "routers.list": [() => client.routers.list(), listed],
  "generate.video.create": [() => client.generate.video.create({ configId: "films", input: { promptText: "x" } }), routed],
  "generate.image.create": [() => client.generate.image.create({ configId: "films", input: { promptText: "x" } }), routed],
  "generate.audio.create": [
    () => client.generate.audio.create({ configId: "films", input: { type: "audio", promptText: "rain" } }),
    routed,
  ],
  "routers.listRequests": [() => client.routers.listRequests(made.routers.id), listed],
  "routers.delete": [() => client.routers.delete(made.routers.id), nothing],

  "documents.create": [() => client.documents.create({ name: "x", content: "# x" }), bare],
  "documents.retrieve": [() => client.documents.retrieve(made.documents.id), same("documents")],
  "documents.update": [() => client.documents.update(made.documents.id, { name: "y" }), nothing],
  "documents.list": [() => client.documents.list(), listed],

  "voices.create": [
    () => client.voices.create({ name: "x", from: { type: "audio", audio: audio.uri } }),
    bare,
  ],
  "voices.retrieve": [() => settled(() => client.voices.retrieve(made.voices.id)), same("voices")],
  "voices.update": [() => client.voices.update(made.voices.id, { name: "y" }), ({ name }) => assert.equal(name, "y")],
  "voices.list": [() => client.voices.list(), listed],
  "voices.preview": [
    () => client.voices.preview({ model: "eleven_ttv_v3", prompt: "a low and calm voice of a sailor" }),
    async ({ url, durationSecs }) => {
      const answer = await fetch(url);
      assert.equal(answer.headers.get("content-type"), "audio/mpeg");
      assert.ok(durationSecs > 0 && (await answer.arrayBuffer()).byteLength > 1000);
    },
  ],

  "avatars.create": [
    () =>
      client.avatars.create({
        name: "x",
        personality: "x",
        referenceImage: image.uri,
        voice: { type: "custom", id: made.voices.id },
        documentIds: [made.documents.id],
      }),
    bare,
  ],
  "avatars.retrieve": [
    () => settled(() => client.avatars.retrieve(made.avatars.id)),
    ({ status, voice }) => assert.deepEqual([status, voice.name], ["READY", "y"]),
  ],
  "avatars.update": [
    () => client.avatars.update(made.avatars.id, { startScript: "Hello." }),
    ({ startScript }) => assert.equal(startScript, "Hello."),
  ],
  "avatars.list": [() => client.avatars.list(), listed],
  "avatarVideos.create": [
    () =>
      client.avatarVideos.create({
        model: "gwm1_avatars",
        avatar: { type: "custom", avatarId: made.avatars.id },
        speech: { type: "text", text: "Hello." },
      }),
    bare,
  ],
  "realtimeSessions.create": [() => client.realtimeSessions.create({ model: "gwm1_avatars", avatar: preset }), bare],
  "realtimeSessions.retrieve": [
    () => client.realtimeSessions.retrieve(made.realtimeSessions.id),
    same("realtimeSessions"),
  ],
  "realtimeSessions.delete": [() => client.realtimeSessions.delete(made.realtimeSessions.id), nothing],
  "avatarConversations.list": [() => client.avatarConversations.list(), listed],
  "avatarConversations.retrieve": [
    () => client.avatarConversations.retrieve(made.realtimeSessions.id),
    ({ status }) => assert.equal(status, "ended"),
  ],
  "avatarConversations.delete": [() => client.avatarConversations.delete(made.realtimeSessions.id), nothing],
  "avatars.getUsage": [
    () => client.avatars.getUsage({ startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-08T00:00:00Z" }),
    ({ byDay }) => assert.equal(byDay.length, 7),
  ],
  "avatars.delete": [() => client.avatars.delete(made.avatars.id), nothing],
  "voices.delete": [() => client.voices.delete(made.voices.id), nothing],
  "documents.delete": [() => client.documents.delete(made.documents.id), nothing],

  "workflows.list": [() => client.workflows.list(), listed],
  "workflows.retrieve": [() => client.workflows.retrieve(workflow), ({ graph }) => assert.ok(graph.nodes.length > 0)],
  "workflows.run": [() => client.workflows.run(workflow), bare],
  "workflowInvocations.retrieve": [
    () => client.workflowInvocations.retrieve(made.workflows.id),
    same("workflows"),
  ],

  "organization.retrieve": [
    () => client.organization.retrieve(),
    ({ creditBalance, usage }) => assert.ok(creditBalance > 0 && usage.models["gen4.5"].dailyGenerations >= 2),
  ],
  "organization.retrieveUsage": [() => client.organization.retrieveUsage(), ({ results }) => assert.ok(results)],
  "organization.webapp.listUsage": [() => client.organization.webapp.listUsage(day), page],
  "organization.webapp.auditLogs.list": [() => client.organization.webapp.auditLogs.list(), listed],
  "organization.webapp.auditLogs.retrieve": [
    () => client.organization.webapp.auditLogs.retrieve(event),
    ({ eventId }) => assert.equal(eventId, event),
  ],
};

// Looks again, a bounded number of times, until a resource is no longer being processed.
async function settled(look) {
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await look();
    if (found.status !== "PROCESSING") return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return assert.fail("still being processed");
}

function methods(thing, path) {
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(thing));
  const parts = Object.entries(thing).filter(([name, value]) => !name.startsWith("_") && value?._client);
  return [
    ...own.filter((name) => name !== "constructor" && typeof thing[name] === "function").map((name) => path + name),
    ...parts.flatMap(([name, part]) => methods(part, `${path}${name}.`)),
  ];
}

const resources = Object.entries(client).filter(([, value]) => value?._client);
const known = resources.flatMap(([name, resource]) => methods(resource, `${name}.`));
assert.deepEqual(Object.keys(table).toSorted(), known.toSorted(), "the table has every method of the SDK");

for (const [name, [call, check]] of Object.entries(table)) {
  try {
    const answer = await call();
    await check(answer);
    if (/\.(create|run)$/.test(name)) made[name.split(".")[0]] = answer;
  } catch (error) {
    console.error(`${name}: ${error.stack}\n${JSON.stringify(error.error ?? null)}`);
    process.exitCode = 1;
  }
}
console.log(known.length);
