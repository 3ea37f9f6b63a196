/** Webhooks: who is told of jobs and films by signed HTTP requests; the calls of `WebhookService`. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

import type { Calls, Options } from "../calls.js";
import {
  CreateWebhookRequestSchema,
  type CreateWebhookResponse,
  type Delivery,
  type DeliveryState,
  ListDeliveriesRequestSchema,
  RedeliverRequestSchema,
  RotateSecretRequestSchema,
  type RotateSecretResponse,
  type SendTestResponse,
  UpdateWebhookRequestSchema,
  type Webhook,
  type WebhookFilter,
  WebhookFilterSchema,
  WebhookService,
  type WebhookState,
} from "../gen/evergreen/v1/webhook_pb.js";
import { newId } from "../ids.js";
import { checkNames, type Names } from "../names.js";

/** Which events a webhook hears of: see `WebhookFilter`. */
export interface FilterFields {
  readonly projectIds?: readonly string[];
  readonly allProjects?: boolean;
  readonly types?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** A webhook that is to be set up. One of `projectIds` and `allProjects` is required. */
export interface WebhookFields extends FilterFields {
  readonly url: string;
  readonly description?: string;
  /** Default: a new one for each call; give your own to be able to repeat a call whose answer was lost. */
  readonly requestId?: string;
}

/** What is to be changed of a webhook. */
export interface WebhookChanges extends FilterFields {
  readonly webhookId: string;
  readonly url?: string;
  readonly description?: string;
  /** `ACTIVE` or `PAUSED`. */
  readonly state?: WebhookState;
}

/** Selects deliveries. */
export interface DeliveriesListed {
  readonly webhookId: string;
  readonly states?: readonly DeliveryState[];
  /** Only events since then. */
  readonly since?: Date;
  readonly pageSize?: number;
}

/** What is to be sent once more: a delivery, or all that were given up, of events since a time. */
export type Redelivered =
  | { readonly webhookId: string; readonly messageId: string; readonly givenUpSince?: undefined }
  | { readonly webhookId: string; readonly givenUpSince: Date; readonly messageId?: undefined };

const FILTER_NAMES: Names<FilterFields> = { projectIds: true, allProjects: true, types: true, labels: true };
const WEBHOOK_NAMES: Names<WebhookFields> = { ...FILTER_NAMES, url: true, description: true, requestId: true };
const CHANGE_NAMES: Names<WebhookChanges> = { ...FILTER_NAMES, webhookId: true, url: true, description: true, state: true };
const LISTED_NAMES: Names<DeliveriesListed> = { webhookId: true, states: true, since: true, pageSize: true };
const ROTATED_NAMES = { webhookId: true, overlapMs: true } as const;
const REDELIVERED_NAMES = { webhookId: true, messageId: true, givenUpSince: true } as const;

/** The calls for webhooks, available as `client.webhooks`. They need the right `ADMIN`, and may reject with WebhookNotFound. */
export class Webhooks {
  readonly #stub: Client<typeof WebhookService>;
  readonly #calls: Calls;

  constructor(transport: Transport, calls: Calls) {
    this.#stub = createClient(WebhookService, transport);
    this.#calls = calls;
  }

  /**
   * Sets up a webhook, and returns it with its secret, which no other call returns but `rotateSecret`. Rejects with
   * TypeError for a name that there is not, InvalidRequest, TooManyWebhooks, WebhooksOff.
   */
  async create(fields: WebhookFields, options?: Options): Promise<CreateWebhookResponse> {
    checkNames(fields, WEBHOOK_NAMES);
    const { url, description = "", requestId = newId() } = fields;
    const filter = filtered(fields);
    const request = create(CreateWebhookRequestSchema, { url, description, requestId, ...(filter && { filter }) });
    return this.#calls.call(this.#stub.createWebhook, request, options);
  }

  /** Returns a webhook, without its secret. */
  async get(webhookId: string, options?: Options): Promise<Webhook> {
    return present((await this.#calls.call(this.#stub.getWebhook, { webhookId }, options)).webhook);
  }

  /** Yields the webhooks that the caller may administer, or those of one project, oldest first. */
  async *list(
    { projectId = "", pageSize = 0 }: { readonly projectId?: string; readonly pageSize?: number } = {},
    options?: Options,
  ): AsyncGenerator<Webhook, void, undefined> {
    const request = { projectId, pageSize };
    for await (const page of this.#calls.pages(this.#stub.listWebhooks, request, options)) yield* page.webhooks;
  }

  /**
   * Changes what is given of a webhook, pauses it or switches it on (`state`), and returns it. Where a part of the filter
   * is given, the others are read before, and stay. What happens while it is paused or switched off is not told later.
   */
  async update(changes: WebhookChanges, options?: Options): Promise<Webhook> {
    checkNames(changes, CHANGE_NAMES);
    const { webhookId, url, description, state } = changes;
    const filter = filtered(changes) && filtered(changes, (await this.get(webhookId, options)).filter);
    const request = create(UpdateWebhookRequestSchema, {
      webhookId,
      ...(url !== undefined && { url }),
      ...(description !== undefined && { description }),
      ...(state !== undefined && { state }),
      ...(filter && { filter }),
    });
    return present((await this.#calls.call(this.#stub.updateWebhook, request, options)).webhook);
  }

  /** Deletes a webhook and its deliveries. This cannot be undone. */
  async delete(webhookId: string, options?: Options): Promise<void> {
    await this.#calls.call(this.#stub.deleteWebhook, { webhookId }, options);
  }

  /**
   * Gives a webhook a new secret, and returns both. For `overlapMs` (default: a day), the one before signs too. Reads the
   * webhook first, so that a repeat after a lost answer gives no second secret.
   */
  async rotateSecret(
    rotated: { readonly webhookId: string; readonly overlapMs?: number },
    options?: Options,
  ): Promise<RotateSecretResponse> {
    checkNames(rotated, ROTATED_NAMES);
    const { webhookId, overlapMs } = rotated;
    const overlap = overlapMs === undefined ? {} : { overlap: durationFromMs(overlapMs) };
    const { secretGeneration } = await this.get(webhookId, options);
    const request = create(RotateSecretRequestSchema, { webhookId, secretGeneration, ...overlap });
    return this.#calls.call(this.#stub.rotateSecret, request, options);
  }

  /** Sends an event `evergreen.ping` now, once, and returns what came back. Also for one that is switched off. */
  async test(webhookId: string, options?: Options): Promise<SendTestResponse> {
    return this.#calls.call(this.#stub.sendTest, { webhookId }, options);
  }

  /** Yields the deliveries of a webhook, newest first. They are kept for 7 days. */
  async *deliveries(listed: DeliveriesListed, options?: Options): AsyncGenerator<Delivery, void, undefined> {
    checkNames(listed, LISTED_NAMES);
    const { webhookId, states = [], since, pageSize = 0 } = listed;
    const from = since === undefined ? {} : { sinceTime: timestampFromDate(since) };
    const request = create(ListDeliveriesRequestSchema, { webhookId, states: [...states], pageSize, ...from });
    for await (const page of this.#calls.pages(this.#stub.listDeliveries, request, options)) yield* page.deliveries;
  }

  /**
   * Sends a delivery once more, or all that were given up; returns how many. Rejects with DeliveryNotFound,
   * WebhookSwitchedOff.
   */
  async redeliver(redelivered: Redelivered, options?: Options): Promise<bigint> {
    checkNames(redelivered, REDELIVERED_NAMES);
    const { webhookId, messageId, givenUpSince } = redelivered;
    if ((messageId === undefined) === (givenUpSince === undefined)) {
      throw new TypeError('give one of "messageId" and "givenUpSince"');
    }
    const what =
      givenUpSince === undefined
        ? { case: "messageId" as const, value: messageId! }
        : { case: "givenUpSinceTime" as const, value: timestampFromDate(givenUpSince) };
    const request = create(RedeliverRequestSchema, { webhookId, what });
    return (await this.#calls.call(this.#stub.redeliver, request, options)).deliveries;
  }
}

/** Returns a filter with the fields that are given and, for those that are not, of the present one; undefined if none is given. */
function filtered(fields: FilterFields, present?: WebhookFilter): WebhookFilter | undefined {
  const { projectIds, allProjects, types, labels } = fields;
  if ([projectIds, allProjects, types, labels].every((each) => each === undefined)) return undefined;
  const changed = create(WebhookFilterSchema, present ?? {});
  if (projectIds !== undefined) {
    changed.projectIds = [...projectIds];
    changed.allProjects = false;
  }
  if (allProjects !== undefined) {
    changed.allProjects = allProjects;
    if (allProjects && projectIds === undefined) changed.projectIds = [];
  }
  if (types !== undefined) changed.types = [...types];
  if (labels !== undefined) changed.labels = { ...labels };
  return changed;
}

function present(webhook: Webhook | undefined): Webhook {
  if (webhook === undefined) throw new TypeError("the service answered without a webhook");
  return webhook;
}
