import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

import { activitiesOf, announce, benign, permanent, type Receiver } from '../src/receivers';
import { settingsFrom, type Settings } from '../src/settings';

const receivers: Receiver[] = [
  { event: 'payment_completed', name: 'send-receipt', timeout: '10s', receive: async () => {} },
  { event: 'payment_failed', name: 'tell', receive: async () => {} },
];

test('an activity is named after its event and receiver', () => {
  assert.deepEqual(Object.keys(activitiesOf(receivers)), ['payment_completed/send-receipt', 'payment_failed/tell']);
});

test('an error of a receiver is retried and not logged', () => {
  for (const thrown of [new Error('no ink'), 'no ink', ApplicationFailure.retryable('no ink', 'other')]) {
    const failure = benign(thrown);
    assert.equal(failure.message, 'no ink');
    assert.equal(failure.type, 'receiver');
    assert.ok(!failure.nonRetryable);
    assert.equal(failure.category, ApplicationFailureCategory.BENIGN);
  }
});

test('a permanent failure is not retried', () => {
  const failure = benign(permanent('no such mailbox'));
  assert.equal(failure.type, 'permanent');
  assert.equal(failure.nonRetryable, true);
  assert.equal(failure.category, ApplicationFailureCategory.BENIGN);
});

/** Runs ask against a server that answers like Cobro, and returns the requests that arrived. */
async function serve(status: number, answer: unknown, ask: (settings: Settings) => Promise<unknown>) {
  const requests: { request: IncomingMessage; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      requests.push({ request, body });
      response.writeHead(status).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  try {
    const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const result = await ask({ host: 'shop', api, apiKey: 'key', keyFile: '', temporal: '', namespace: '', receipts: '' });
    return { result, requests };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('announce sends every receiver and reports unknown ones', async () => {
  const unknown: string[] = [];
  const kept = ['payment_completed/old-one', 'payment_completed/send-receipt', 'payment_failed/tell'];
  const answer = { receivers: kept.map((activity) => ({ host: 'shop', task_queue: 'notify-shop', activity })) };
  const { result, requests } = await serve(200, answer, (settings) => announce(settings, receivers, (activity) => unknown.push(activity)));
  assert.equal(result, 'notify-shop');
  assert.deepEqual(unknown, ['payment_completed/old-one']);
  const [only] = requests;
  assert.equal(`${only?.request.method} ${only?.request.url}`, 'PUT /v1/receivers/shop');
  assert.equal(only?.request.headers.authorization, 'Bearer key');
  assert.deepEqual(JSON.parse(only?.body ?? ''), {
    receivers: [
      { event: 'payment_completed', name: 'send-receipt', timeout: '10s' },
      { event: 'payment_failed', name: 'tell' },
    ],
  });
});

test('a rejected announcement says why', async () => {
  const refused = serve(422, { code: 'validation_failed' }, (settings) => announce(settings, receivers, () => {}));
  await assert.rejects(refused, /validation_failed/);
});

test('the error names every missing setting', () => {
  assert.throws(() => settingsFrom({ COBRO_DATA: 'no-such-folder' }), /COBRO_API, COBRO_API_KEY, COBRO_KEY_FILE, TEMPORAL_ADDRESS/);
  const env = { COBRO_API: 'http://127.0.0.1:1', COBRO_API_KEY: 'key', COBRO_KEY_FILE: 'keys.json', TEMPORAL_ADDRESS: '127.0.0.1:2' };
  assert.equal(settingsFrom(env).namespace, 'default');
});
