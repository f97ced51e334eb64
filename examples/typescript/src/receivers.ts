// The host's side of the contract: receivers as activities, and their
// announcement. Nothing in it is about this example's own receivers.
import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

import type { Event, Notification } from './notification';
import type { Settings } from './settings';

/** A piece of merchant's code that is told of an event. */
export interface Receiver {
  event: Event;
  name: string; // 1 to 60 of a-z, 0-9 and hyphens
  timeout?: string; // of one attempt, such as "10s"; 30s where it is absent
  /** Called at least once for each event; what it throws leads to another call, for days. */
  receive: (notification: Notification) => Promise<void>;
}

/** The activities of a host: one for each receiver, named by its event and name. */
export function activitiesOf(receivers: Receiver[]): Record<string, (n: Notification) => Promise<void>> {
  return Object.fromEntries(receivers.map((receiver) => [`${receiver.event}/${receiver.name}`, deliver(receiver)]));
}

function deliver({ event, name, receive }: Receiver): (n: Notification) => Promise<void> {
  return async (notification) => {
    try {
      await receive(notification);
    } catch (error) {
      log.warn('receiver failed', { event, receiver: name, notification: notification.id, attempt: activityInfo().attempt });
      throw quiet(error);
    }
  };
}

/**
 * Keeps the text of a receiver's error, which may name a customer, out of the
 * log: the SDK logs an activity's error unless it is benign. Cobro reads the
 * text in the history, where it is encrypted.
 */
export function quiet(error: unknown): ApplicationFailure {
  if (error instanceof ApplicationFailure && error.type === PERMANENT) return error;
  return ApplicationFailure.create({
    message: error instanceof Error ? error.message : String(error),
    type: 'receiver',
    category: ApplicationFailureCategory.BENIGN,
    ...(error instanceof Error && { cause: error }),
  });
}

const PERMANENT = 'permanent';

/** What a receiver throws when no further attempt can help: the delivery is failed at once. */
export function permanent(message: string, cause?: Error): ApplicationFailure {
  return ApplicationFailure.create({
    message,
    type: PERMANENT,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
    ...(cause && { cause }),
  });
}

/** How Cobro answers an announcement. */
export interface Announced {
  receivers: { host: string; event: string; name: string; timeout: string; task_queue: string; activity: string }[];
}

/**
 * Tells Cobro which receivers this host has, and returns the task queue to
 * poll. Cobro never forgets one because it is absent: those that it still tells
 * and that this program does not have are passed to orphan.
 */
export async function announce(settings: Settings, receivers: Receiver[], orphan: (activity: string) => void): Promise<string> {
  const answer = await fetch(`${settings.api}/v1/receivers/${settings.host}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${settings.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ receivers: receivers.map(({ event, name, timeout }) => ({ event, name, timeout })) }),
    signal: AbortSignal.timeout(10_000),
  }).catch((error: Error) => {
    throw new Error(`Cobro does not answer at ${settings.api}: start it, or mend COBRO_API`, { cause: error });
  });
  if (!answer.ok) throw new Error(`Cobro refused the announcement: ${await answer.text()}`);
  const announced = (await answer.json()) as Announced;
  const ours = activitiesOf(receivers);
  for (const { activity } of announced.receivers) {
    if (!(activity in ours)) orphan(activity);
  }
  const queue = announced.receivers[0]?.task_queue;
  if (queue === undefined) throw new Error('announce one receiver at the least');
  return queue;
}
