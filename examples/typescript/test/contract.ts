// Access to testdata, which the tests of both languages share. See contract_test.go.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { LoadedDataConverter } from '@temporalio/common';
import { loadDataConverter } from '@temporalio/common/lib/internal-non-workflow';

import { cobroCodec, Ring } from '../src/codec';

/** Payloads and failures that one language sealed and both must open. Bytes are base64. */
export interface Vectors {
  payloads: { name: string; key: string; sealed: string; encoding: string; inside: string }[];
  failures: { name: string; sealed: string; type: string; message: string; non_retryable: boolean; cause: string }[];
}

/** In every message, so it must never appear unencrypted. */
export const canary = 'canaria@example.com';

export const testdata = (name: string): string => join(__dirname, '..', '..', 'testdata', name);

export const read = <T>(name: string): T => JSON.parse(readFileSync(testdata(name), 'utf8'));

/** The key ring of the tests, with the given primary. */
export const ring = (primary: string): Ring => Ring.parse(JSON.stringify({ ...read<object>('keys.json'), primary }));

/** The example's data converter, as the worker loads it. */
export const converter = (ring: Ring): LoadedDataConverter =>
  loadDataConverter({ payloadCodecs: [cobroCodec(ring)], failureConverterPath: require.resolve('../src/failures') });
