// Regenerates testdata/from-typescript.json: npm run vectors.
import { writeFileSync } from 'node:fs';

import { defaultPayloadConverter } from '@temporalio/common';
import { encodeErrorToFailure } from '@temporalio/common/lib/internal-non-workflow';
import { temporal } from '@temporalio/proto';

import { cobroCodec } from '../src/codec';
import { benign, permanent } from '../src/receivers';
import { canary, converter, read, ring, testdata, type Vectors } from './contract';

const base64 = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('base64');

async function main(): Promise<void> {
  const vectors: Vectors = { payloads: [], failures: [] };
  for (const [name, key, value] of [
    ['a notification', '2026-02', read<{ notifications: unknown[] }>('notifications.golden.json').notifications[1]],
    ['an old key', '2026-01', `Café Cobro, ${canary}`],
    ['text', '2026-02', `ñandú ☕ ${canary}`],
    ['nothing', '2026-02', undefined],
    ['bytes', '2026-02', Uint8Array.from([0, 1, 2, 253, 254, 255])],
  ] as const) {
    const plain = defaultPayloadConverter.toPayload(value);
    const [sealed] = await cobroCodec(ring(key)).encode([plain]);
    vectors.payloads.push({
      name,
      key,
      sealed: base64(temporal.api.common.v1.Payload.encode(sealed ?? {}).finish()),
      encoding: Buffer.from(plain.metadata?.['encoding'] ?? []).toString(),
      inside: base64(plain.data),
    });
  }
  const cause = new Error(`no such mailbox: ${canary}`);
  for (const [name, error] of [
    ['an error', benign(cause)],
    ['a text', benign(`no ink for ${canary}`)],
    ['permanent', benign(permanent(`nobody lives at ${canary}`, cause))],
  ] as const) {
    vectors.failures.push({
      name,
      sealed: base64(temporal.api.failure.v1.Failure.encode(await encodeErrorToFailure(converter(ring('2026-02')), error)).finish()),
      type: error.type ?? '',
      message: error.message,
      non_retryable: error.nonRetryable ?? false,
      cause: error.cause?.message ?? '',
    });
  }
  writeFileSync(testdata('from-typescript.json'), `${JSON.stringify(vectors, null, 2)}\n`);
}

void main();
