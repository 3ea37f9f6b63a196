/** The same request as a command, for who wants it in a program. */
import type { GenerateVideoRequest } from "@evergreen/video/v1/video";

function shell(text: string): string {
  return /^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function image(request: GenerateVideoRequest): string | undefined {
  const source = request.media[0]?.source;
  return source?.case === "asset" ? source.value : undefined;
}

export function asCommand(request: GenerateVideoRequest): string {
  const asset = image(request);
  const lines = [
    `evergreen video generate --project ${shell(request.projectId)}`,
    `--scene ${shell(request.sceneId)} --model ${shell(request.model)}`,
    ...(request.ratio ? [`--ratio ${shell(request.ratio)}`] : []),
    ...(request.durationSeconds ? [`--duration ${request.durationSeconds}`] : []),
    ...(asset ? [`--image ${shell(asset)}`] : []),
    ...(request.promptText ? [`--prompt ${shell(request.promptText)}`] : []),
  ];
  return lines.join(" \\\n  ");
}

export function asPython(request: GenerateVideoRequest): string {
  const fields: [string, unknown][] = [
    ["project_id", request.projectId],
    ["scene_id", request.sceneId],
    ["model", request.model],
    ["prompt_text", request.promptText],
    ["ratio", request.ratio],
    ["duration_seconds", request.durationSeconds],
  ];
  const given = fields.filter(([, value]) => value !== undefined && value !== "");
  return `async with Client() as client:
    job = await client.generate(
${given.map(([name, value]) => `        ${name}=${JSON.stringify(value)},`).join("\n")}
    )
    print((await client.wait(job.job_id)).outputs[0].asset)`;
}

export function asCurl(request: GenerateVideoRequest): string {
  const asset = image(request);
  const body = {
    sceneId: request.sceneId,
    model: request.model,
    ...(request.promptText && { promptText: request.promptText }),
    ...(request.ratio && { ratio: request.ratio }),
    ...(request.durationSeconds && { durationSeconds: request.durationSeconds }),
    ...(asset && { media: [{ asset, role: "MEDIA_ROLE_FIRST_FRAME" }] }),
  };
  return `curl ${location.origin}/api/v1/projects/${request.projectId}/videos \\
  -H 'Content-Type: application/json' -H 'Idempotency-Key: ${request.requestId || "take-1"}' \\
  -d ${shell(JSON.stringify(body))}`;
}
