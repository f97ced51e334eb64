// What the tests of both languages share: testdata, as contract_test.go reads it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { LoadedDataConverter } from '@temporalio/common';
import { loadDataConverter } from '@temporalio/common/lib/internal-non-workflow';

import { cobroCodec, Ring } from '../src/codec';

/** Payloads and failures that one language sealed and both open. Bytes are base64. */
export interface Vectors {
  payloads: { name: string; key: string; sealed: string; encoding: string; inside: string }[];
  failures: { name: string; sealed: string; type: string; message: string; non_retryable: boolean; cause: string }[];
}

/** canary is in every message, and nowhere in clear. */
export const canary = 'canaria@example.com';

export const testdata = (name: string): string => join(__dirname, '..', '..', 'testdata', name);

export const read = <T>(name: string): T => JSON.parse(readFileSync(testdata(name), 'utf8'));

/** The key ring of the tests, with a primary of choice. */
export const ring = (primary: string): Ring => Ring.parse(JSON.stringify({ ...read<object>('keys.json'), primary }));

/** What the worker makes of the example's data converter. */
export const converter = (ring: Ring): LoadedDataConverter =>
  loadDataConverter({ payloadCodecs: [cobroCodec(ring)], failureConverterPath: require.resolve('../src/failures') });
