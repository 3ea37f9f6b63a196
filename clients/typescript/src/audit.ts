/** Who did what: the calls of `AuditService`. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

import type { Calls, Options } from "./calls.js";
import { type AuditAction, type AuditEntry, AuditService, ListAuditEntriesRequestSchema } from "./gen/evergreen/v1/audit_pb.js";
import { checkNames, type Names } from "./names.js";

/** Selects entries; what is not given matches all. */
export interface AuditListed {
  readonly projectId?: string;
  readonly actions?: readonly AuditAction[];
  /** The name of a token. */
  readonly caller?: string;
  /** A job, an asset's path, a film or a webhook. */
  readonly subject?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly pageSize?: number;
}

const NAMES: Names<AuditListed> = {
  projectId: true,
  actions: true,
  caller: true,
  subject: true,
  since: true,
  until: true,
  pageSize: true,
};

/** The record of who did what, available as `client.audit`. It needs the right `ADMIN`. */
export class Audit {
  readonly #stub: Client<typeof AuditService>;
  readonly #calls: Calls;

  constructor(transport: Transport, calls: Calls) {
    this.#stub = createClient(AuditService, transport);
    this.#calls = calls;
  }

  /** Yields what was done, newest first. Rejects with TypeError for a name that there is not, and InvalidRequest. */
  async *entries(listed: AuditListed = {}, options?: Options): AsyncGenerator<AuditEntry, void, undefined> {
    checkNames(listed, NAMES);
    const { since, until, actions = [], ...rest } = listed;
    const request = create(ListAuditEntriesRequestSchema, {
      ...rest,
      actions: [...actions],
      ...(since && { sinceTime: timestampFromDate(since) }),
      ...(until && { untilTime: timestampFromDate(until) }),
    });
    for await (const page of this.#calls.pages(this.#stub.listAuditEntries, request, options)) yield* page.entries;
  }
}
