// Cobro encrypts every payload in Temporal. This codec reads and writes its
// form with the key ring file that all of Cobro's processes share; docs/receivers.md
// describes both.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

import type { Payload, PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';

const PayloadMessage = temporal.api.common.v1.Payload;

const LAYOUT = 1; // the first byte of everything sealed
const NONCE = 12; // bytes
const TAG = 16; // bytes
const CONTEXT = Buffer.from('temporal.payload'); // binds what is sealed to Temporal

/** Ring holds the keys of a key ring file: the primary seals, all of them open. */
export class Ring {
  private constructor(
    readonly primary: string,
    private readonly keys: ReadonlyMap<string, Buffer>,
  ) {}

  /** Reads the file, and refuses one that others than its owner can use. */
  static load(path: string): Ring {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new Error(`key file ${path} can be used by others: run chmod 600 ${path}`);
    }
    return Ring.parse(readFileSync(path, 'utf8'));
  }

  /** Reads the JSON form. No error quotes a key. */
  static parse(json: string): Ring {
    let file: { primary?: unknown; keys?: Record<string, unknown> } | null;
    try {
      file = JSON.parse(json);
    } catch {
      throw new Error('not a key file: no valid JSON');
    }
    const keys = new Map<string, Buffer>();
    for (const [id, text] of Object.entries(file?.keys ?? {})) {
      const key = Buffer.from(String(text), 'base64');
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(id) || key.length !== 32) {
        throw new Error(`not a key file: key ${JSON.stringify(id)} needs a plain id and 32 bytes in base64`);
      }
      keys.set(id, key);
    }
    const primary = String(file?.primary);
    if (!keys.has(primary)) throw new Error('not a key file: the primary is not among the keys');
    return new Ring(primary, keys);
  }

  /** layout | length of key id | key id | nonce | ciphertext | tag; all up to the nonce is authenticated too. */
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

const DAMAGED = 'the payload is damaged or belongs elsewhere';

/** A codec that seals whole payloads, so that their own metadata is hidden as well. */
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
        if (encoding !== 'binary/encrypted') return payload; // in clear: read as it is
        return PayloadMessage.decode(ring.open(payload.data ?? new Uint8Array()));
      });
    },
  };
}
