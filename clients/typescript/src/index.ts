/** The client of Tollgate, a metering and plan-limit service. */

import { randomUUID } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import { errorOf, TollgateError, Unavailable } from "./errors.js";
import type { components, paths } from "./schema.js";

export * from "./errors.js";
export type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
export type Consumed = Schemas["UsageAnswer"];
export type Checked = Schemas["CheckAnswer"];
export type Explained = Schemas["ExplainAnswer"];
export type Forecast = Schemas["ForecastAnswer"];
export type Status = Schemas["StatusAnswer"];
export type Reservation = Schemas["ReservationAnswer"];

/** Amounts by feature, in the feature's unit: `{ api_calls: 1 }`. */
export type Usage = Record<string, number>;

export interface Options {
  /** The service's address; default: the environment's TOLLGATE_URL. */
  url?: string;
  /** A service key; default: the environment's TOLLGATE_KEY. */
  key?: string;
  /** Seconds that a whole call may take, repeats included; default 10. */
  timeout?: number;
  /** For tests; default: the global fetch. */
  fetch?: (request: Request) => Promise<Response>;
}

export interface ConsumeOptions {
  mode?: "enforce" | "record";
  reference?: string;
  dimension?: string;
  occurredAt?: Date;
  idempotencyKey?: string;
}

export interface HoldOptions {
  /** The hold ends by itself so long after a crash; it is extended while the work runs. Default 60. */
  ttlSeconds?: number;
  reference?: string;
}

const RETRIED = new Set([502, 503, 504]);
const FIRST_PAUSE_SECONDS = 0.05;
const PAUSE_SECONDS_MAX = 2;
const ATTEMPT_SECONDS_MAX = 10;

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What a hold's work says of it. */
export interface Hold {
  readonly reservation: Reservation;
  /** What was really used, less or more than was held. */
  used(usage: Usage, options?: { dimension?: string }): void;
}

/** Calls the service. Make one for a process. What is in doubt is sent again, with an idempotency key that the client makes. */
export class Tollgate {
  /** The service's whole API, typed by its OpenAPI document; without repeats, and with answers instead of errors. */
  readonly api: Client<paths>;
  readonly #timeout: number;

  constructor(options: Options = {}) {
    const url = options.url ?? process.env["TOLLGATE_URL"];
    const key = options.key ?? process.env["TOLLGATE_KEY"];
    if (!url) throw new TypeError("the service's address is missing: pass url, or set TOLLGATE_URL");
    if (!key) throw new TypeError("a service key is missing: pass key, or set TOLLGATE_KEY");
    this.#timeout = options.timeout ?? 10;
    this.api = createClient<paths>({
      baseUrl: url.replace(/\/+$/, ""),
      headers: { Authorization: `Bearer ${key}` },
      ...(options.fetch ? { fetch: options.fetch } : {}),
    });
  }

  /** Checks and books usage, all of it or none. Throws LimitExceeded or NotInPlan. */
  async consume(customerId: string, usage: Usage, options: ConsumeOptions = {}): Promise<Consumed> {
    const body = {
      usage: amounts(usage, options.dimension),
      mode: options.mode ?? ("enforce" as const),
      ...(options.reference === undefined ? {} : { reference: options.reference }),
      ...(options.occurredAt === undefined ? {} : { occurred_at: options.occurredAt.toISOString() }),
    };
    return this.#call(options.idempotencyKey, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/usage", { params: { path: { customer_id: customerId } }, body, headers, signal }),
    );
  }

  /** Whether usage would be admitted. Books nothing. */
  async check(customerId: string, usage: Usage): Promise<Checked> {
    const body = { usage: amounts(usage), mode: "enforce" as const };
    return this.#call(undefined, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/usage/check", { params: { path: { customer_id: customerId } }, body, headers, signal }),
    );
  }

  /** Why usage would be admitted or refused, or was at that instant: where each limit comes from, what is used and held, in a sentence. */
  async explain(customerId: string, usage: Usage, at?: Date): Promise<Explained> {
    const body = { usage: amounts(usage), ...(at === undefined ? {} : { at: at.toISOString() }) };
    return this.#call(undefined, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/usage/explain", { params: { path: { customer_id: customerId } }, body, headers, signal }),
    );
  }

  /** Where each feature will stand at the reset, and when its limit will be reached, with a band of 80 %. */
  async forecast(customerId: string): Promise<Forecast> {
    return this.#call(undefined, (_, signal) =>
      this.api.GET("/api/v1/customers/{customer_id}/usage/forecast", { params: { path: { customer_id: customerId } }, signal }),
    );
  }

  /** A customer's plan, and where each of its features stands. */
  async usage(customerId: string): Promise<Status> {
    return this.#call(undefined, (_, signal) =>
      this.api.GET("/api/v1/customers/{customer_id}/usage", { params: { path: { customer_id: customerId } }, signal }),
    );
  }

  /**
   * Sets usage aside around work whose amount is not known before. Commits what `hold.used` said, or else what was held; where the work
   * throws and has used nothing, gives it back. It is extended while the work runs.
   */
  async hold<T>(customerId: string, usage: Usage, work: (hold: Hold) => Promise<T> | T, options: HoldOptions = {}): Promise<T> {
    const ttl = options.ttlSeconds ?? 60;
    const reservation = await this.reserve(customerId, usage, { ...options, ttlSeconds: ttl });
    let used: Usage | undefined;
    let dimension: string | undefined;
    const extend = (): void => {
      this.extend(customerId, reservation.id, ttl).catch(() => undefined); // the next time may go better; a commit is booked in any case
    };
    const timer = setInterval(extend, (ttl * 1000) / 2);
    const finish = (failed: boolean): Promise<Reservation> => {
      clearInterval(timer);
      if (used) return this.commit(customerId, reservation.id, used, dimension);
      return failed ? this.release(customerId, reservation.id) : this.commit(customerId, reservation.id);
    };
    let result: T;
    try {
      result = await work({
        reservation,
        used(said, more = {}) {
          used = { ...used, ...said };
          dimension = more.dimension ?? dimension;
        },
      });
    } catch (error) {
      await finish(true).catch(() => undefined); // what the work threw says more; the hold ends by itself
      throw error;
    }
    await finish(false);
    return result;
  }

  async reserve(customerId: string, usage: Usage, options: HoldOptions & { idempotencyKey?: string } = {}): Promise<Reservation> {
    const body = {
      usage: amounts(usage),
      ttl_seconds: options.ttlSeconds ?? 300,
      ...(options.reference === undefined ? {} : { reference: options.reference }),
    };
    return this.#call(options.idempotencyKey, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/reservations", { params: { path: { customer_id: customerId } }, body, headers, signal }),
    );
  }

  /** Books what was used, or without amounts what was held. Throws Conflict if it ended. */
  async commit(customerId: string, id: string, usage?: Usage, dimension?: string): Promise<Reservation> {
    const body = usage ? { usage: amounts(usage, dimension) } : {};
    return this.#call(undefined, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/reservations/{id}/commit", {
        params: { path: { customer_id: customerId, id } },
        body,
        headers,
        signal,
      }),
    );
  }

  async release(customerId: string, id: string): Promise<Reservation> {
    return this.#call(undefined, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/reservations/{id}/release", {
        params: { path: { customer_id: customerId, id } },
        headers,
        signal,
      }),
    );
  }

  async extend(customerId: string, id: string, ttlSeconds: number): Promise<Reservation> {
    return this.#call(undefined, (headers, signal) =>
      this.api.POST("/api/v1/customers/{customer_id}/reservations/{id}/extend", {
        params: { path: { customer_id: customerId, id } },
        body: { ttl_seconds: ttlSeconds },
        headers,
        signal,
      }),
    );
  }

  /** Sends, and sends again what may pass, until the timeout: each attempt with the same idempotency key. */
  async #call<T>(
    key: string | undefined,
    send: (headers: Record<string, string>, signal: AbortSignal) => Promise<Answered<T>>,
  ): Promise<T> {
    const headers = { "Idempotency-Key": key ?? randomUUID() };
    const deadline = performance.now() + this.#timeout * 1000;
    let wait = FIRST_PAUSE_SECONDS;
    for (;;) {
      const left = Math.max(deadline - performance.now(), 1);
      let failure: TollgateError;
      try {
        const answered = await send(headers, AbortSignal.timeout(Math.ceil(Math.min(left, ATTEMPT_SECONDS_MAX * 1000))));
        if (answered.response.ok && answered.data !== undefined) return answered.data;
        failure = errorOf(answered.response.status, answered.error, answered.response.headers);
        if (!RETRIED.has(answered.response.status)) throw failure;
      } catch (error) {
        if (error instanceof TollgateError) {
          failure = error;
          if (failure.status === undefined || !RETRIED.has(failure.status)) throw failure;
        } else if (!(error instanceof TypeError || error instanceof DOMException)) {
          throw error; // a mistake of ours or of the caller's; fetch says that it failed by these two
        } else {
          const unavailable = new Unavailable(`the service is out of reach: ${String(error)}`, { cause: error });
          unavailable.outcomeUnknown = true;
          failure = unavailable;
        }
      }
      const pause = failure.retryAfter ?? wait * (0.5 + Math.random() / 2);
      wait = Math.min(wait * 2, PAUSE_SECONDS_MAX);
      if (performance.now() + pause * 1000 >= deadline) throw failure;
      await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    }
  }
}

function amounts(usage: Usage, dimension?: string): { feature: string; quantity: number; dimension?: string }[] {
  const found = Object.entries(usage).map(([feature, quantity]) => {
    if (!Number.isFinite(quantity)) throw new RangeError(`a finite quantity of ${feature} is expected, not ${quantity}`);
    return { feature, quantity, ...(dimension === undefined ? {} : { dimension }) };
  });
  if (found.length === 0) throw new RangeError("usage of at least one feature is expected, such as { api_calls: 1 }");
  return found;
}
