/** Against a running service: TOLLGATE_URL and TOLLGATE_KEY, which `make clients` sets. The customer "demo" has the example plan's limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LimitExceeded, NotFound, Tollgate } from "../dist/index.js";

const there = Boolean(process.env.TOLLGATE_URL);

test("four lines against a running service", { skip: there ? false : "TOLLGATE_URL is not set" }, async () => {
  const client = new Tollgate();
  const customer = `typescript-${process.pid}`;
  const made = await client.api.PUT("/api/v1/customers/{customer_id}", { params: { path: { customer_id: customer } }, body: { plan: "example" } });
  assert.equal(made.response.status, 201);
  assert.equal((await client.consume(customer, { api_calls: 990 })).balances.api_calls.remaining, 10);
  await client.hold(customer, { api_calls: 8 }, (hold) => hold.used({ api_calls: 3 }));
  assert.equal((await client.check(customer, { api_calls: 8 })).allowed, false);
  await assert.rejects(client.consume(customer, { api_calls: 8 }), (error) => error instanceof LimitExceeded && error.remaining === 7);
  await assert.rejects(client.consume(`${customer}/none`, { api_calls: 1 }), NotFound);
  assert.equal((await client.usage(customer)).features.api_calls.used, 993);
});
