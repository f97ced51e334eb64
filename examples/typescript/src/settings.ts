import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The settings of the host. */
export interface Settings {
  host: string; // the name of this receiver host
  api: string; // the API's URL
  apiKey: string;
  keyFile: string; // the key file that all Cobro processes share
  temporal: string; // host and port of the frontend
  namespace: string;
  receipts: string; // the folder for receipts
}

/**
 * Reads the settings from the environment. Missing ones come from the data folder of
 * a running dev: COBRO_DATA, or else .cobro in the current folder.
 */
export function settingsFrom(env: NodeJS.ProcessEnv): Settings {
  const dev = env['COBRO_API'] === undefined ? addressesOfDev(env['COBRO_DATA'] ?? '.cobro') : {};
  const missing: string[] = [];
  const required = (name: string, ofDev: string | undefined): string => {
    const value = env[name] ?? ofDev;
    if (value === undefined) missing.push(name);
    return value ?? '';
  };
  const settings = {
    host: env['COBRO_RECEIVER_HOST'] ?? 'typescript',
    api: required('COBRO_API', dev['api']),
    apiKey: required('COBRO_API_KEY', dev['api_key']),
    keyFile: required('COBRO_KEY_FILE', dev['key_file']),
    temporal: required('TEMPORAL_ADDRESS', dev['temporal']),
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
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}; // no dev is running here
    throw error;
  }
}
