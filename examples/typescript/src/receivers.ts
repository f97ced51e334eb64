// The host's side of the contract: it runs receivers as activities and announces
// them to Cobro. Nothing here is specific to this example's receivers.
import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

import type { Event, Notification } from './notification';
import type { Settings } from './settings';

/** Merchant code that handles an event. */
export interface Receiver {
  event: Event;
  name: string; // 1 to 60 of a-z, 0-9 and hyphens
  timeout?: string; // for one attempt, such as "10s"; default 30s
  /** Called at least once per event. If it throws, Cobro calls it again, for days. */
  receive: (notification: Notification) => Promise<void>;
}

/** The activities of a host: one per receiver, named "event/name". */
export function activitiesOf(receivers: Receiver[]): Record<string, (n: Notification) => Promise<void>> {
  return Object.fromEntries(receivers.map((receiver) => [`${receiver.event}/${receiver.name}`, deliver(receiver)]));
}

function deliver({ event, name, receive }: Receiver): (n: Notification) => Promise<void> {
  return async (notification) => {
    try {
      await receive(notification);
    } catch (error) {
      log.warn('receiver failed', { event, receiver: name, notification: notification.id, attempt: activityInfo().attempt });
      throw benign(error);
    }
  };
}

/**
 * Converts an error to a benign failure. The SDK logs every other error of an
 * activity, and a receiver's error text may name a customer. Cobro reads the text
 * in the history, where it is encrypted.
 */
export function benign(error: unknown): ApplicationFailure {
  if (error instanceof ApplicationFailure && error.type === PERMANENT) return error;
  return ApplicationFailure.create({
    message: error instanceof Error ? error.message : String(error),
    type: 'receiver',
    category: ApplicationFailureCategory.BENIGN,
    ...(error instanceof Error && { cause: error }),
  });
}

const PERMANENT = 'permanent';

/** The error for a receiver to throw if a retry cannot help. The delivery fails at once. */
export function permanent(message: string, cause?: Error): ApplicationFailure {
  return ApplicationFailure.create({
    message,
    type: PERMANENT,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
    ...(cause && { cause }),
  });
}

/** Cobro's response to an announcement. */
export interface Announced {
  receivers: { host: string; event: string; name: string; timeout: string; task_queue: string; activity: string }[];
}

/**
 * Tells Cobro which receivers this host has, and returns the task queue to poll.
 * Cobro does not drop a receiver because it is absent here: each one that it still
 * has and this program lacks is passed to onUnknown.
 */
export async function announce(settings: Settings, receivers: Receiver[], onUnknown: (activity: string) => void): Promise<string> {
  const answer = await fetch(`${settings.api}/v1/receivers/${settings.host}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${settings.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ receivers: receivers.map(({ event, name, timeout }) => ({ event, name, timeout })) }),
    signal: AbortSignal.timeout(10_000),
  }).catch((error: Error) => {
    throw new Error(`Cobro does not answer at ${settings.api}: start it, or fix COBRO_API`, { cause: error });
  });
  if (!answer.ok) throw new Error(`Cobro refused the announcement: ${await answer.text()}`);
  const announced = (await answer.json()) as Announced;
  const ours = activitiesOf(receivers);
  for (const { activity } of announced.receivers) {
    if (!(activity in ours)) onUnknown(activity);
  }
  const queue = announced.receivers[0]?.task_queue;
  if (queue === undefined) throw new Error('announce at least one receiver');
  return queue;
}
