// Cobro encrypts every payload in Temporal. This codec encrypts and decrypts them
// with the key file that all Cobro processes share. docs/receivers.md describes
// both formats.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

import type { Payload, PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';

const PayloadMessage = temporal.api.common.v1.Payload;

const LAYOUT = 1; // the first byte of every sealed value
const NONCE = 12; // bytes
const TAG = 16; // bytes
const CONTEXT = Buffer.from('temporal.payload'); // binds sealed values to Temporal

/** The keys of a key file. The primary seals; every key opens. */
export class Ring {
  private constructor(
    readonly primary: string,
    private readonly keys: ReadonlyMap<string, Buffer>,
  ) {}

  /** Reads the file. Rejects a file that other users can access. */
  static load(path: string): Ring {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new Error(`other users can access key file ${path}: run chmod 600 ${path}`);
    }
    return Ring.parse(readFileSync(path, 'utf8'));
  }

  /** Parses the JSON. No error quotes a key. */
  static parse(json: string): Ring {
    let file: { primary?: unknown; keys?: Record<string, unknown> } | null;
    try {
      file = JSON.parse(json);
    } catch {
      throw new Error('not a key file: invalid JSON');
    }
    const keys = new Map<string, Buffer>();
    for (const [id, text] of Object.entries(file?.keys ?? {})) {
      const key = Buffer.from(String(text), 'base64');
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(id) || key.length !== 32) {
        throw new Error(`not a key file: key ${JSON.stringify(id)} needs a valid id and 32 bytes in base64`);
      }
      keys.set(id, key);
    }
    const primary = String(file?.primary);
    if (!keys.has(primary)) throw new Error('not a key file: the primary is not among the keys');
    return new Ring(primary, keys);
  }

  /** layout | length of key id | key id | nonce | ciphertext | tag. Everything before the nonce is authenticated. */
  seal(plain: Uint8Array): Buffer {
    const id = Buffer.from(this.primary);
    const header = Buffer.concat([Buffer.from([LAYOUT, id.length]), id]);
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', this.key(this.primary), nonce, { authTagLength: TAG });
    cipher.setAAD(Buffer.concat([header, CONTEXT]));
    return Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  open(sealed: Uint8Array): Buffer {
    const data = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    const start = 2 + (data[1] ?? 0);
    if (data[0] !== LAYOUT || data.length < start + NONCE + TAG) throw new Error(DAMAGED);
    const key = this.key(data.toString('latin1', 2, start));
    const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(start, start + NONCE), { authTagLength: TAG });
    decipher.setAAD(Buffer.concat([data.subarray(0, start), CONTEXT]));
    decipher.setAuthTag(data.subarray(-TAG));
    try {
      return Buffer.concat([decipher.update(data.subarray(start + NONCE, -TAG)), decipher.final()]);
    } catch {
      throw new Error(DAMAGED);
    }
  }

  private key(id: string): Buffer {
    const key = this.keys.get(id);
    if (key === undefined) throw new Error(`the key ring does not hold the key ${JSON.stringify(id)}: add it to the key file`);
    return key;
  }
}

const DAMAGED = 'the payload is damaged or was sealed for another context';

/** A codec that seals whole payloads, which hides their metadata as well. */
export function cobroCodec(ring: Ring): PayloadCodec {
  return {
    async encode(payloads: Payload[]): Promise<Payload[]> {
      return payloads.map((payload) => ({
        metadata: { encoding: Buffer.from('binary/encrypted'), 'encryption-key-id': Buffer.from(ring.primary) },
        data: ring.seal(PayloadMessage.encode(payload).finish()),
      }));
    },
    async decode(payloads: Payload[]): Promise<Payload[]> {
      return payloads.map((payload) => {
        const encoding = Buffer.from(payload.metadata?.['encoding'] ?? []).toString();
        if (encoding !== 'binary/encrypted') return payload; // not encrypted
        return PayloadMessage.decode(ring.open(payload.data ?? new Uint8Array()));
      });
    },
  };
}
