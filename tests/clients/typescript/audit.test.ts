/** Who did what: what reaches the wire, page by page. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AuditAction } from "@evergreen/video";
import { type ListAuditEntriesRequest, ListAuditEntriesRequestSchema } from "@evergreen/video/v1/audit";

import { scripted } from "./scripted.js";

test("entries come page by page with what was asked for, and no misspelt name is sent", async (t) => {
  const asked: ListAuditEntriesRequest[] = [];
  const listAuditEntries = (request: ListAuditEntriesRequest) => {
    asked.push(request);
    return asked.length === 1 ? { entries: [{ entryId: "b" }], nextPageToken: "next" } : { entries: [{ entryId: "a" }] };
  };
  const client = await scripted(t, {}, {}, {}, {}, { listAuditEntries });
  const since = new Date("2030-01-01T00:00:00Z");
  const given = { projectId: "film", actions: [AuditAction.CANCEL], caller: "ann", subject: "j", pageSize: 1 };

  const found: string[] = [];
  for await (const entry of client.audit.entries({ ...given, since })) found.push(entry.entryId);

  assert.deepEqual(found, ["b", "a"]);
  assert.deepEqual(asked[0], create(ListAuditEntriesRequestSchema, { ...given, sinceTime: timestampFromDate(since) }));
  assert.equal(asked[1]!.pageToken, "next");
  await assert.rejects(client.audit.entries({ callers: "ann" } as object).next(), TypeError);
  assert.equal(asked.length, 2);
});
