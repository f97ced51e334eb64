// The types of a notification. The tests compare this file with Cobro's Go types,
// so neither can change alone. Within a version Cobro may add fields, and values of
// the fields that are plain strings here.

export const events = [
  'payment_created',
  'payment_completed',
  'payment_failed', // canceled or declined; payment.failure has the reason
  'payment_expired',
  'refund_completed',
  'refund_failed',
  'payment_needs_review',
  'reconciliation_mismatch',
] as const;
export type Event = (typeof events)[number];

export const paymentStatuses = ['pending', 'open', 'confirmed', 'completed', 'cancelled', 'expired', 'failed'] as const;
export type PaymentStatus = (typeof paymentStatuses)[number];

/** An amount in US dollars, such as "25.00". Never convert it to a number. */
export type Amount = string;

/** RFC 3339 in UTC, such as "2026-01-15T12:00:30Z". */
export type Time = string;

/**
 * One event of one payment, for one receiver. It may arrive more than once, always
 * with the same id. Events of a payment may arrive out of order: sequence has the
 * right order.
 */
export interface Notification {
  id: string; // "ntf_" and 26 characters, the same for every retry
  version: number; // 1
  event: Event;
  sequence: number; // position among the events of this payment, from 1
  occurred_at: Time;
  payment: Payment; // as of the event
  refund?: Refund; // set for the refund events
  review?: Review; // set for payment_needs_review
  mismatch?: Mismatch; // set for reconciliation_mismatch
}

export interface Payment {
  id: string; // "pay_" and 26 characters; "" if a mismatch has no payment at Cobro
  reference: string | null; // the merchant's order
  status: PaymentStatus | ''; // '' if the id is
  total: Amount;
  subtotal: Amount | null;
  tax: Amount | null;
  phone_number: string | null; // ten digits
  metadata1: string | null;
  metadata2: string | null;
  items: Item[];
  ecommerce_id: string | null;
  reference_number: string | null; // of the debit at ATH Móvil
  daily_transaction_id: string | null;
  captured_amount: Amount | null; // what the customer was debited
  fee: Amount | null; // null if ATH Móvil did not say, like net_amount
  net_amount: Amount | null;
  refunded_amount: Amount;
  customer: Customer;
  failure: Failure | null; // why it failed or was canceled
  needs_review: boolean;
  expires_at: Time;
  created_at: Time;
  updated_at: Time;
  completed_at: Time | null;
}

export interface Item {
  name: string;
  description: string;
  quantity: number;
  price: Amount;
  tax: Amount | null;
  metadata: string;
}

/** Who paid, as far as ATH Móvil reported it. */
export interface Customer {
  name: string | null;
  phone_number: string | null;
  email: string | null;
}

export interface Failure {
  code: string; // for programs
  message: string; // for people
}

export interface Refund {
  id: string;
  payment_id: string;
  amount: Amount;
  status: string; // "pending", "completed" or "failed"
  needs_review: boolean;
  failure: Failure | null;
  reference_number: string | null;
  message: string | null;
  source: string; // "api", or "external" or "unexplained" if it was made elsewhere
  created_at: Time;
  completed_at: Time | null;
}

export interface Review {
  id: string;
  payment_id: string;
  refund_id?: string; // set if the review is about a refund
  cause: string;
  evidence: Evidence[];
  opened_at: Time;
  decision?: Decision; // absent while the review is open
}

export interface Evidence {
  at: Time;
  what: string;
}

export interface Decision {
  verdict: string;
  source: string;
  by?: string;
  reason?: string;
  at: Time;
}

export interface Mismatch {
  id: string;
  kind: string;
  payment_id?: string;
  reference_number?: string;
  ours?: string;
  theirs?: string;
  source: string;
  found_by?: string;
  found_at: Time;
}
