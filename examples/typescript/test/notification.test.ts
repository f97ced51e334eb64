// Compares notification.ts with what Cobro writes: the golden file has an example of
// every event and every field.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  events,
  paymentStatuses,
  type Customer,
  type Decision,
  type Evidence,
  type Failure,
  type Item,
  type Mismatch,
  type Notification,
  type Payment,
  type Refund,
  type Review,
} from '../src/notification';
import { read } from './contract';

/** The JSON kind of a type, computed by the compiler. */
type Kind<T> = [T] extends [string]
  ? 'string'
  : [T] extends [number]
    ? 'number'
    : [T] extends [boolean]
      ? 'boolean'
      : [T] extends [unknown[]]
        ? 'list'
        : 'object';

/** The kinds of an interface's fields. A table with an extra, missing or wrong field does not compile. */
type Shape<T> = {
  [K in keyof T]-?: object extends Pick<T, K>
    ? `${Kind<Exclude<T[K], undefined>>} or absent`
    : null extends T[K]
      ? `${Kind<Exclude<T[K], null>>} or null`
      : Kind<T[K]>;
};

type Check = (value: unknown, at: string) => void;

const seen = new Set<string>(); // "Interface.field kind", and "Interface.field null" or "… absent"
const expected = new Set<string>();

function checkOf<T>(name: string, shape: Shape<T>, inside: Record<string, Check> = {}): Check {
  const fields = Object.entries<string>(shape);
  for (const [field, kinds] of fields) {
    for (const kind of kinds.split(' or ')) expected.add(`${name}.${field} ${kind}`);
  }
  return (value, at) => {
    assert.equal(kindOf(value), 'object', at);
    const given = value as Record<string, unknown>;
    for (const field of Object.keys(given)) assert.ok(field in shape, `${at}.${field} is not declared`);
    for (const [field, kinds] of fields) {
      const kind = kindOf(given[field]);
      assert.ok(kinds.split(' or ').includes(kind), `${at}.${field} is ${kind}, not ${kinds}`);
      seen.add(`${name}.${field} ${kind}`);
      const nested = kind === 'list' ? (given[field] as unknown[]) : kind === 'object' ? [given[field]] : [];
      for (const one of nested) {
        const check = inside[field];
        assert.ok(check, `${at}.${field} has no table`);
        check(one, `${at}.${field}`);
      }
    }
  };
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'list' : typeof value;
}

const failure = checkOf<Failure>('Failure', { code: 'string', message: 'string' });

const payment = checkOf<Payment>(
  'Payment',
  {
    id: 'string',
    reference: 'string or null',
    status: 'string',
    total: 'string',
    subtotal: 'string or null',
    tax: 'string or null',
    phone_number: 'string or null',
    metadata1: 'string or null',
    metadata2: 'string or null',
    items: 'list',
    ecommerce_id: 'string or null',
    reference_number: 'string or null',
    daily_transaction_id: 'string or null',
    captured_amount: 'string or null',
    fee: 'string or null',
    net_amount: 'string or null',
    refunded_amount: 'string',
    customer: 'object',
    failure: 'object or null',
    needs_review: 'boolean',
    expires_at: 'string',
    created_at: 'string',
    updated_at: 'string',
    completed_at: 'string or null',
  },
  {
    items: checkOf<Item>('Item', {
      name: 'string',
      description: 'string',
      quantity: 'number',
      price: 'string',
      tax: 'string or null',
      metadata: 'string',
    }),
    customer: checkOf<Customer>('Customer', { name: 'string or null', phone_number: 'string or null', email: 'string or null' }),
    failure,
  },
);

const refund = checkOf<Refund>(
  'Refund',
  {
    id: 'string',
    payment_id: 'string',
    amount: 'string',
    status: 'string',
    needs_review: 'boolean',
    failure: 'object or null',
    reference_number: 'string or null',
    message: 'string or null',
    source: 'string',
    created_at: 'string',
    completed_at: 'string or null',
  },
  { failure },
);

const review = checkOf<Review>(
  'Review',
  {
    id: 'string',
    payment_id: 'string',
    refund_id: 'string or absent',
    cause: 'string',
    evidence: 'list',
    opened_at: 'string',
    decision: 'object or absent',
  },
  {
    evidence: checkOf<Evidence>('Evidence', { at: 'string', what: 'string' }),
    decision: checkOf<Decision>('Decision', {
      verdict: 'string',
      source: 'string',
      by: 'string or absent',
      reason: 'string or absent',
      at: 'string',
    }),
  },
);

const mismatch = checkOf<Mismatch>('Mismatch', {
  id: 'string',
  kind: 'string',
  payment_id: 'string or absent',
  reference_number: 'string or absent',
  ours: 'string or absent',
  theirs: 'string or absent',
  source: 'string',
  found_by: 'string or absent',
  found_at: 'string',
});

const notification = checkOf<Notification>(
  'Notification',
  {
    id: 'string',
    version: 'number',
    event: 'string',
    sequence: 'number',
    occurred_at: 'string',
    payment: 'object',
    refund: 'object or absent',
    review: 'object or absent',
    mismatch: 'object or absent',
  },
  { payment, refund, review, mismatch },
);

const golden = read<{ events: string[]; payment_statuses: string[]; notifications: Notification[] }>('notifications.golden.json');

test('the events and statuses match Cobro', () => {
  assert.deepEqual([...events], golden.events);
  assert.deepEqual([...paymentStatuses], golden.payment_statuses);
});

test('the declarations match what Cobro writes, field by field', () => {
  golden.notifications.forEach((one, i) => notification(one, `${one.event}[${i}]`));
  assert.deepEqual([...expected].filter((kind) => !seen.has(kind)), [], 'declared but never written');
});
