// An example of a merchant's program in TypeScript. It writes a receipt for each
// completed payment. Start it next to a running dev; see README.md.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { log } from '@temporalio/activity';
import { NativeConnection, Worker } from '@temporalio/worker';

import { cobroCodec, Ring } from './codec';
import type { Notification } from './notification';
import { activitiesOf, announce, type Receiver } from './receivers';
import { settingsFrom } from './settings';

/**
 * The receipt is named after the payment, so a repeated notification only writes
 * the same file again.
 */
function sendReceipt(folder: string): (n: Notification) => Promise<void> {
  return async (notification) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${notification.payment.id}.json`);
    await writeFile(path, JSON.stringify(notification, null, 2), { mode: 0o600 });
    log.info('receipt', { path, notification: notification.id });
  };
}

async function main(): Promise<void> {
  const settings = settingsFrom(process.env);
  const receivers: Receiver[] = [
    { event: 'payment_completed', name: 'send-receipt', timeout: '10s', receive: sendReceipt(settings.receipts) },
  ];
  const ring = Ring.load(settings.keyFile);
  const taskQueue = await announce(settings, receivers, (activity) => {
    console.warn(`${activity} is announced for ${settings.host} but is not in this program: remove it with cobro receiver remove`);
  });
  const connection = await NativeConnection.connect({ address: settings.temporal });
  try {
    const worker = await Worker.create({
      connection,
      namespace: settings.namespace,
      taskQueue,
      activities: activitiesOf(receivers),
      dataConverter: { payloadCodecs: [cobroCodec(ring)], failureConverterPath: require.resolve('./failures') },
      shutdownGraceTime: '10 seconds',
    });
    await worker.run(); // until SIGINT or SIGTERM
  } finally {
    await connection.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
