import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the host needs to know. */
export interface Settings {
  host: string; // names this program among those that host receivers
  api: string; // the API's URL
  apiKey: string;
  keyFile: string; // the key ring that all of Cobro's processes share
  temporal: string; // the frontend's host and port
  namespace: string;
  receipts: string; // the folder that receipts are written to
}

/**
 * Reads the settings from variables. What is not set comes from the data folder
 * of a running dev: COBRO_DATA, or .cobro in the current folder.
 */
export function settingsFrom(env: NodeJS.ProcessEnv): Settings {
  const dev = env['COBRO_API'] === undefined ? addressesOfDev(env['COBRO_DATA'] ?? '.cobro') : {};
  const missing: string[] = [];
  const need = (name: string, ofDev: string | undefined): string => {
    const value = env[name] ?? ofDev;
    if (value === undefined) missing.push(name);
    return value ?? '';
  };
  const settings = {
    host: env['COBRO_RECEIVER_HOST'] ?? 'typescript',
    api: need('COBRO_API', dev['api']),
    apiKey: need('COBRO_API_KEY', dev['api_key']),
    keyFile: need('COBRO_KEY_FILE', dev['key_file']),
    temporal: need('TEMPORAL_ADDRESS', dev['temporal']),
    namespace: env['TEMPORAL_NAMESPACE'] ?? dev['namespace'] ?? 'default',
    receipts: env['RECEIPTS'] ?? 'receipts',
  };
  if (missing.length > 0) throw new Error(`set ${missing.join(', ')}, or COBRO_DATA to the data folder of a running dev`);
  return settings;
}

function addressesOfDev(folder: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(join(folder, 'addresses.json'), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}; // no dev here
    throw error;
  }
}
