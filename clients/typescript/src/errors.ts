/** What a call may end with, one class for each family. All of them carry the service's own code and facts. */

export type Detail = Record<string, unknown>;

export class TollgateError extends Error {
  /** The HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;
  /** The service's error code, such as `usage_limit_exceeded`. */
  readonly code: string;
  /** All facts, as they were sent. */
  readonly detail: unknown;
  /** Seconds to wait before it is tried again, where the service says so. */
  readonly retryAfter: number | undefined;
  /** Finds the request in the service's log. */
  readonly requestId: string | undefined;

  constructor(message: string, facts: { status?: number; code?: string; detail?: unknown; headers?: Headers; cause?: unknown } = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.status = facts.status;
    this.code = facts.code ?? "";
    this.detail = facts.detail;
    const wait = Number(facts.headers?.get("retry-after") ?? Number.NaN);
    this.retryAfter = Number.isFinite(wait) && wait >= 0 ? wait : undefined;
    this.requestId = facts.headers?.get("x-request-id") ?? undefined;
  }
}

/** The customer's plan does not allow it. Nothing was booked. */
export class Refused extends TollgateError {
  protected fact<T>(name: string): T {
    return (this.detail as Detail)[name] as T;
  }
  get feature(): string {
    return this.fact("feature");
  }
  get plan(): string {
    return this.fact("plan");
  }
}

/** A limit does not admit what was asked for. Amounts are in the feature's unit. */
export class LimitExceeded extends Refused {
  get currentUsage(): number {
    return this.fact("current_usage");
  }
  get held(): number {
    return this.fact("held");
  }
  get requested(): number {
    return this.fact("requested");
  }
  get limit(): number {
    return this.fact("limit");
  }
  get remaining(): number {
    return this.fact("remaining");
  }
  /** When usage begins anew; null where it never does. */
  get resetsAt(): Date | null {
    const at = this.fact<string | null>("resets_at");
    return at === null ? null : new Date(at);
  }
}

/** The plan lacks the feature, or has it switched off. */
export class NotInPlan extends Refused {}
/** There is no such customer, plan, reservation, … */
export class NotFound extends TollgateError {}
/** It is not in a state in which that can be done. */
export class Conflict extends TollgateError {}
/** The request is not right; `detail` says what and where. */
export class Invalid extends TollgateError {}
/** The credentials are missing or wrong, or may not do this. */
export class Denied extends TollgateError {}
/** No answer within the deadline, or 503 until then. Where `outcomeUnknown`, the last attempt may have been carried out. */
export class Unavailable extends TollgateError {
  outcomeUnknown = false;
}
/** The service made a mistake (5xx). */
export class ServiceFailed extends TollgateError {}

/** The error that an answer tells. */
export function errorOf(status: number, body: unknown, headers: Headers): TollgateError {
  const detail = isObject(body) ? body["detail"] : undefined;
  const facts: Detail = isObject(detail) ? detail : {};
  const code = typeof facts["error"] === "string" ? facts["error"] : "";
  const message = (typeof facts["message"] === "string" && facts["message"]) || listed(detail) || `HTTP status ${status}`;
  const error = new (family(status, code, facts))(message, { status, code, detail, headers });
  if (error instanceof Unavailable) error.outcomeUnknown = facts["outcome"] === "unknown";
  return error;
}

function family(status: number, code: string, facts: Detail): typeof TollgateError {
  if (status === 503) return Unavailable;
  if ("current_usage" in facts && "limit" in facts) return LimitExceeded;
  if (code === "feature_not_in_plan") return NotInPlan;
  if (status === 401 || status === 403) return Denied;
  if (status === 404) return NotFound;
  if (status === 409 || code === "idempotency_key_reused") return Conflict;
  return status < 500 ? Invalid : ServiceFailed;
}

function listed(detail: unknown): string {
  if (!Array.isArray(detail)) return "";
  return detail.filter(isObject).map((item) => `${(item["loc"] as unknown[] | undefined)?.join(".")}: ${String(item["msg"])}`).join("; ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
