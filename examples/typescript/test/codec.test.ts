import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { decodeOptionalFailureToOptionalError, encodeErrorToFailure } from '@temporalio/common/lib/internal-non-workflow';
import { temporal } from '@temporalio/proto';

import { cobroCodec, Ring } from '../src/codec';
import { benign } from '../src/receivers';
import { canary, converter, read, ring, type Vectors } from './contract';

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');

for (const file of ['from-go.json', 'from-typescript.json']) {
  for (const v of read<Vectors>(file).payloads) {
    test(`${file}: ${v.name} is opened`, async () => {
      assert.ok(!bytes(v.sealed).includes(canary), 'the canary is not encrypted');
      const sealed = temporal.api.common.v1.Payload.decode(bytes(v.sealed));
      const [opened] = await cobroCodec(ring('2026-02')).decode([sealed]);
      assert.equal(Buffer.from(opened?.metadata?.['encoding'] ?? []).toString(), v.encoding);
      assert.deepEqual(Buffer.from(opened?.data ?? []), bytes(v.inside));
    });
  }
  for (const v of read<Vectors>(file).failures) {
    test(`${file}: the failure "${v.name}" is opened`, async () => {
      assert.ok(!bytes(v.sealed).includes(canary), 'the canary is not encrypted');
      const sealed = temporal.api.failure.v1.Failure.decode(bytes(v.sealed));
      const error = await decodeOptionalFailureToOptionalError(converter(ring('2026-02')), sealed);
      assert.ok(error instanceof ApplicationFailure);
      assert.equal(error.type, v.type);
      assert.equal(error.message, v.message);
      assert.equal(error.nonRetryable, v.non_retryable);
      assert.equal(error.category, ApplicationFailureCategory.BENIGN);
      assert.equal(error.cause?.message ?? '', v.cause);
    });
  }
}

test('a failure shows nothing but its type', async () => {
  const cause = Object.assign(new Error(canary), { stack: `Error: ${canary}` });
  const failure = await encodeErrorToFailure(converter(ring('2026-02')), benign(cause));
  const sent = Buffer.from(temporal.api.failure.v1.Failure.encode(failure).finish());
  assert.ok(!sent.includes(canary));
  assert.ok(sent.includes('receiver'));
});

test('open returns what seal was given, and sealing twice gives different bytes', () => {
  for (const plain of [Buffer.alloc(0), Buffer.from('ñandú'), Buffer.alloc(1 << 20, 7)]) {
    const [once, twice] = [ring('2026-02').seal(plain), ring('2026-02').seal(plain)];
    assert.deepEqual(ring('2026-02').open(once), plain);
    assert.notDeepEqual(once, twice);
  }
});

test('open detects every changed byte and every truncation', () => {
  const keys = ring('2026-02');
  const sealed = keys.seal(Buffer.from(canary));
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(i) ^ 1, i);
    assert.throws(() => keys.open(changed), /damaged|does not hold/, `byte ${i}`);
    assert.throws(() => keys.open(sealed.subarray(0, i)), /damaged|does not hold/, `truncated to ${i} bytes`);
  }
  assert.throws(() => keys.open(Buffer.concat([sealed, Buffer.alloc(1)])), /damaged/);
});

test('the error for an unknown key names it', () => {
  const { keys } = read<{ keys: Record<string, string> }>('keys.json');
  const newer = Ring.parse(JSON.stringify({ primary: '2026-02', keys: { '2026-02': keys['2026-02'] } }));
  assert.throws(() => newer.open(ring('2026-01').seal(Buffer.from('x'))), /"2026-01"/);
});

test('an unencrypted payload is returned unchanged', async () => {
  const payload = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('"hello"') };
  assert.deepEqual(await cobroCodec(ring('2026-02')).decode([payload]), [payload]);
});

test('an invalid key file is rejected, and no error quotes a key', () => {
  const good = Buffer.alloc(32, 7).toString('base64');
  for (const [name, file] of Object.entries({
    'no JSON': `{"primary":"a","keys":{"a":"${good}"`,
    'null': 'null',
    'no keys': '{"primary":"a"}',
    'a short key': `{"primary":"a","keys":{"a":"${good.slice(8)}"}}`,
    'a bad id': `{"primary":"a b","keys":{"a b":"${good}"}}`,
    'another primary': `{"primary":"b","keys":{"a":"${good}"}}`,
  })) {
    assert.throws(() => Ring.parse(file), (error: Error) => {
      assert.match(error.message, /not a key file/, name);
      assert.ok(!error.message.includes(good.slice(8)), name);
      return true;
    });
  }
});

test('a key file that other users can access is rejected', { skip: process.platform === 'win32' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cobro-keys-'));
  try {
    const path = join(folder, 'keys.json');
    writeFileSync(path, JSON.stringify(read('keys.json')));
    chmodSync(path, 0o640);
    assert.throws(() => Ring.load(path), /chmod 600/);
    chmodSync(path, 0o600);
    assert.equal(Ring.load(path).primary, '2026-02');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
