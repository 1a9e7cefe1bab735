import assert from "node:assert/strict";
import { test } from "node:test";
import { Conflict, errorOf, LimitExceeded, NotInPlan, Tollgate, Unavailable } from "../dist/index.js";

const BALANCES = { api_calls: { used: 1, held: 0, limit: 100, remaining: 99, resets_at: null } };
const BOOKED = { records: [], balances: BALANCES, over_limit: false };
const RESERVED = { id: "r1", state: "held", usage: [], balances: BALANCES };

/** A client whose requests are answered by these, one after the other: [status, body, headers], or an error that is thrown. */
function played(answers, options = {}) {
  const sent = [];
  const fetch = async (request) => {
    sent.push({ path: new URL(request.url).pathname, key: request.headers.get("idempotency-key"), body: request.body && (await request.json()) });
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next instanceof Error) throw next;
    const [status, body, headers = {}] = next;
    return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
  };
  return { client: new Tollgate({ url: "http://service", key: "tg_key", fetch, ...options }), sent };
}

const refusal = (error, status, facts = {}) => [status, { detail: { error, message: "so it is", ...facts } }];

test("a decision is booked", async () => {
  const { client, sent } = played([[200, BOOKED]]);
  const found = await client.consume("a/b", { api_calls: 1 }, { reference: "job 7", dimension: "eu" });
  assert.equal(found.balances.api_calls.remaining, 99);
  assert.equal(sent[0].path, "/api/v1/customers/a%2Fb/usage");
  assert.deepEqual(sent[0].body, { usage: [{ feature: "api_calls", quantity: 1, dimension: "eu" }], mode: "enforce", reference: "job 7" });
});

test("a refusal carries its facts, and is not sent again", async () => {
  const facts = { plan: "p", feature: "api_calls", current_usage: 99, held: 0, requested: 2, limit: 100, remaining: 1, resets_at: "2026-12-01T00:00:00Z" };
  const { client, sent } = played([refusal("usage_limit_exceeded", 403, facts)]);
  await assert.rejects(client.consume("acme", { api_calls: 2 }), (error) => {
    assert.ok(error instanceof LimitExceeded);
    assert.deepEqual([error.remaining, error.limit, error.feature, error.resetsAt.getUTCMonth()], [1, 100, "api_calls", 11]);
    return true;
  });
  assert.equal(sent.length, 1);
});

test("what may pass is sent again with the same key", async () => {
  const { client, sent } = played([refusal("overloaded", 503), new TypeError("fetch failed"), [502, {}], [200, BOOKED]]);
  await client.consume("acme", { api_calls: 1 });
  assert.equal(sent.length, 4);
  assert.equal(new Set(sent.map((request) => request.key)).size, 1);
});

test("the deadline is the whole call's", async () => {
  const { client, sent } = played([refusal("overloaded", 503)], { timeout: 0.4 });
  await assert.rejects(client.consume("acme", { api_calls: 1 }), Unavailable);
  assert.ok(sent.length > 1);
});

test("it does not wait longer than the deadline", async () => {
  const { client, sent } = played([[503, {}, { "retry-after": "3600" }]], { timeout: 1 });
  await assert.rejects(client.consume("acme", { api_calls: 1 }), (error) => error instanceof Unavailable && error.retryAfter === 3600);
  assert.equal(sent.length, 1);
});

test("a hold commits what was used", async () => {
  const { client, sent } = played([[201, RESERVED], [200, RESERVED]]);
  assert.equal(await client.hold("acme", { tokens: 4000 }, (hold) => (hold.used({ tokens: 3100 }), "done")), "done");
  assert.equal(sent[1].path, "/api/v1/customers/acme/reservations/r1/commit");
  assert.deepEqual(sent[1].body, { usage: [{ feature: "tokens", quantity: 3100 }] });
});

test("a hold whose work fails gives it back, or books what it used", async () => {
  for (const [used, path] of [[undefined, "release"], [{ tokens: 5 }, "commit"]]) {
    const { client, sent } = played([[201, RESERVED], [200, RESERVED]]);
    const work = (hold) => {
      if (used) hold.used(used);
      throw new Error("the work failed");
    };
    await assert.rejects(client.hold("acme", { tokens: 10 }, work), /the work failed/);
    assert.ok(sent[1].path.endsWith(path));
  }
});

test("a hold is extended while its work runs, and not after it", async () => {
  const { client, sent } = played([[201, RESERVED], [200, RESERVED]]);
  await client.hold("acme", { tokens: 10 }, () => new Promise((resolve) => setTimeout(resolve, 1300)), { ttlSeconds: 1 });
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(sent.filter((request) => request.path.endsWith("/extend")).length, 2);
});

test("every error has its family", () => {
  assert.ok(errorOf(409, { detail: { error: "reservation_not_held" } }, new Headers()) instanceof Conflict);
  assert.ok(errorOf(403, { detail: { error: "feature_not_in_plan" } }, new Headers()) instanceof NotInPlan);
  assert.equal(errorOf(422, { detail: [{ loc: ["body", "usage"], msg: "Field required" }] }, new Headers()).message, "body.usage: Field required");
});

test("what is no amount is not sent", async () => {
  const { client, sent } = played([[200, BOOKED]]);
  await assert.rejects(client.consume("acme", { api_calls: Number.NaN }), RangeError);
  await assert.rejects(client.consume("acme", {}), RangeError);
  assert.equal(sent.length, 0);
});
