-- Times are UTC, in microseconds since 1970. Amounts are cents. A column that
-- ends in _sealed is encrypted, bound to its row and column; one that ends in
-- _digest is keyed, and '' where there is nothing to find. Absent clear texts
-- are ''.

-- +goose Up
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE payments (
    id                   TEXT PRIMARY KEY,
    revision             INTEGER NOT NULL,
    fingerprint          TEXT NOT NULL,
    sequence             INTEGER NOT NULL,
    status               TEXT NOT NULL
        CHECK (status IN ('pending', 'open', 'confirmed', 'completed', 'cancelled', 'expired', 'failed')),
    needs_review         INTEGER NOT NULL,
    reference            TEXT NOT NULL,
    total_cents          INTEGER NOT NULL,
    subtotal_cents       INTEGER,
    tax_cents            INTEGER,
    phone_sealed         BLOB,
    phone_digest         TEXT NOT NULL,
    metadata1_sealed     BLOB,
    metadata1_digest     TEXT NOT NULL,
    metadata2_sealed     BLOB,
    metadata2_digest     TEXT NOT NULL,
    items_sealed         BLOB,
    ecommerce_id         TEXT NOT NULL,
    reference_number     TEXT NOT NULL,
    daily_transaction_id TEXT NOT NULL,
    captured_cents       INTEGER, -- NULL until completed
    fee_cents            INTEGER,
    net_cents            INTEGER,
    payer_name_sealed    BLOB,
    payer_phone_sealed   BLOB,
    payer_phone_digest   TEXT NOT NULL,
    payer_email_sealed   BLOB,
    failure_code         TEXT NOT NULL,
    failure_message      TEXT NOT NULL,
    expires_at           INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    completed_at         INTEGER,
    hinted_at            INTEGER -- when an event last named the payment while it was unfinished
) STRICT;
-- One unfinished payment for each reference: the last guard of that promise.
CREATE UNIQUE INDEX payments_unfinished_reference ON payments (reference)
    WHERE reference <> '' AND status IN ('pending', 'open', 'confirmed');
CREATE INDEX payments_newest ON payments (created_at, id);
CREATE INDEX payments_reference ON payments (reference) WHERE reference <> '';
CREATE INDEX payments_ecommerce_id ON payments (ecommerce_id) WHERE ecommerce_id <> '';
-- One payment for each debit at the gateway: the last guard of that promise.
CREATE UNIQUE INDEX payments_reference_number ON payments (reference_number) WHERE reference_number <> '';
CREATE INDEX payments_phone ON payments (phone_digest) WHERE phone_digest <> '';
CREATE INDEX payments_payer_phone ON payments (payer_phone_digest) WHERE payer_phone_digest <> '';
CREATE INDEX payments_metadata1 ON payments (metadata1_digest) WHERE metadata1_digest <> '';
CREATE INDEX payments_metadata2 ON payments (metadata2_digest) WHERE metadata2_digest <> '';
CREATE INDEX payments_status ON payments (status, created_at, id);
-- What the pollers read every two seconds, and nothing else. SQLite takes it
-- for the status that it begins with.
CREATE INDEX payments_open ON payments (status, expires_at, id, ecommerce_id, hinted_at) WHERE status = 'open';
CREATE INDEX payments_completed ON payments (completed_at, id) WHERE status = 'completed';
CREATE INDEX payments_review ON payments (created_at, id) WHERE needs_review;

CREATE TABLE refunds (
    id               TEXT PRIMARY KEY,
    payment_id       TEXT NOT NULL REFERENCES payments (id),
    revision         INTEGER NOT NULL,
    fingerprint      TEXT NOT NULL,
    claims           INTEGER NOT NULL, -- the last try that was given the right to send it; 0 while none was
    sent_by          TEXT NOT NULL, -- the execution that was given it, or who took it; '' while none was
    short_id         TEXT NOT NULL, -- the end of the id, which events echo
    amount_cents     INTEGER NOT NULL CHECK (amount_cents > 0),
    status           TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    needs_review     INTEGER NOT NULL,
    failure_code     TEXT NOT NULL,
    failure_message  TEXT NOT NULL,
    reference_number TEXT NOT NULL,
    message_sealed   BLOB,
    source           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    completed_at     INTEGER
) STRICT;
-- One unsettled refund for each payment: the last guard of that promise.
CREATE UNIQUE INDEX refunds_one_pending ON refunds (payment_id) WHERE status = 'pending';
CREATE INDEX refunds_payment ON refunds (payment_id, created_at, id);
CREATE INDEX refunds_short_id ON refunds (short_id);
CREATE INDEX refunds_reference_number ON refunds (reference_number) WHERE reference_number <> '';

CREATE TABLE customers (
    phone_digest TEXT PRIMARY KEY,
    phone_sealed BLOB NOT NULL,
    name_sealed  BLOB,
    name_at      INTEGER NOT NULL, -- when the payment that told it completed; 0 where none did
    email_sealed BLOB,
    email_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE transitions (
    payment_id  TEXT NOT NULL REFERENCES payments (id),
    sequence    INTEGER NOT NULL,
    from_status TEXT NOT NULL,
    to_status   TEXT NOT NULL,
    at          INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (payment_id, sequence)
) STRICT;

CREATE TABLE receivers (
    host       TEXT NOT NULL,
    event      TEXT NOT NULL,
    name       TEXT NOT NULL,
    timeout_ns INTEGER NOT NULL,
    retry_first_ns INTEGER NOT NULL,
    retry_most_ns  INTEGER NOT NULL,
    retry_for_ns   INTEGER NOT NULL,
    PRIMARY KEY (host, event, name)
) STRICT;
CREATE INDEX receivers_event ON receivers (event, host, name);

-- subject is a payment's id, or that of a refund or a mismatch for its events.
CREATE TABLE announcements (
    subject        TEXT NOT NULL,
    event          TEXT NOT NULL,
    sequence       INTEGER NOT NULL,
    payload_sealed BLOB NOT NULL, -- the notification, but for its id
    PRIMARY KEY (subject, event)
) STRICT;

CREATE TABLE notifications (
    id                TEXT PRIMARY KEY,
    subject           TEXT NOT NULL, -- as in announcements
    payment_id        TEXT REFERENCES payments (id),
    refund_id         TEXT REFERENCES refunds (id),
    event             TEXT NOT NULL,
    host              TEXT NOT NULL,
    receiver          TEXT NOT NULL,
    sequence          INTEGER NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'dropped')),
    workflow_id       TEXT NOT NULL, -- that delivers, or delivered last
    attempts          INTEGER NOT NULL DEFAULT 0, -- all of them; notification_attempts keeps the first and the last
    last_error_sealed BLOB,
    created_at        INTEGER NOT NULL,
    ended_at          INTEGER
) STRICT;
CREATE INDEX notifications_subject ON notifications (subject, event);
CREATE INDEX notifications_payment ON notifications (payment_id, sequence);
CREATE INDEX notifications_newest ON notifications (created_at, id);
CREATE INDEX notifications_unfinished ON notifications (status, created_at, id) WHERE status <> 'delivered';

CREATE TABLE notification_attempts (
    notification_id TEXT NOT NULL REFERENCES notifications (id),
    execution       TEXT NOT NULL, -- each time that it is sent again is one
    number          INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    error_sealed    BLOB,
    answer_status   INTEGER, -- of an HTTP endpoint
    answer_sealed   BLOB,
    PRIMARY KEY (notification_id, execution, number)
) STRICT;

CREATE TABLE gateway_events (
    id               TEXT PRIMARY KEY,
    digest           TEXT NOT NULL UNIQUE,
    kind             TEXT NOT NULL,
    ecommerce_id     TEXT NOT NULL,
    reference_number TEXT NOT NULL,
    payment_id       TEXT NOT NULL, -- as claimed, like all of these; there may be no such payment
    total_cents      INTEGER,
    payer_name_sealed  BLOB,
    payer_phone_sealed BLOB,
    payer_email_sealed BLOB,
    message_sealed   BLOB,
    body_sealed      BLOB, -- whole
    headers_sealed   BLOB,
    verdict          TEXT NOT NULL,
    matched_id       TEXT NOT NULL,
    effect           TEXT NOT NULL,
    deliveries       INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    not_before       INTEGER NOT NULL,
    leased_until     INTEGER NOT NULL,
    received_at      INTEGER NOT NULL,
    settled_at       INTEGER
) STRICT;
CREATE INDEX gateway_events_verdict ON gateway_events (verdict, received_at, id);
CREATE INDEX gateway_events_newest ON gateway_events (received_at, id);
CREATE INDEX gateway_events_ecommerce_id ON gateway_events (ecommerce_id) WHERE ecommerce_id <> '';
CREATE INDEX gateway_events_payment ON gateway_events (payment_id) WHERE payment_id <> '';
CREATE INDEX gateway_events_matched ON gateway_events (matched_id, received_at, id) WHERE matched_id <> '';

-- One row for each time that a person was asked what became of money.
CREATE TABLE reviews (
    id              TEXT PRIMARY KEY,
    payment_id      TEXT NOT NULL REFERENCES payments (id),
    refund_id       TEXT NOT NULL, -- '' where the payment itself is in question
    cause           TEXT NOT NULL,
    evidence_sealed BLOB,
    opened_at       INTEGER NOT NULL,
    verdict         TEXT NOT NULL, -- '' while the review is open, like the next two
    source          TEXT NOT NULL,
    decided_by      TEXT NOT NULL,
    reason_sealed   BLOB,
    decided_at      INTEGER
) STRICT;
CREATE INDEX reviews_newest ON reviews (opened_at, id);
CREATE INDEX reviews_open ON reviews (opened_at, id) WHERE decided_at IS NULL;
CREATE INDEX reviews_payment ON reviews (payment_id, opened_at, id);

-- Differences between Cobro's books and the gateway's. Ours and theirs are
-- amounts, statuses and kinds of event: nothing personal.
CREATE TABLE mismatches (
    id               TEXT PRIMARY KEY,
    kind             TEXT NOT NULL,
    payment_id       TEXT NOT NULL, -- '' where none of ours is concerned
    reference_number TEXT NOT NULL,
    ours             TEXT NOT NULL,
    theirs           TEXT NOT NULL,
    source           TEXT NOT NULL,
    found_by         TEXT NOT NULL, -- the workflow run that found it first, and tells of it
    found_at         INTEGER NOT NULL
) STRICT;
CREATE INDEX mismatches_newest ON mismatches (found_at, id);
CREATE INDEX mismatches_payment ON mismatches (payment_id, found_at, id) WHERE payment_id <> '';

CREATE TABLE reconciliations (
    run_id      TEXT PRIMARY KEY,
    day         TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    report_rows INTEGER NOT NULL,
    matched     INTEGER NOT NULL,
    filled      INTEGER NOT NULL,
    booked      INTEGER NOT NULL,
    mismatches  INTEGER NOT NULL,
    quarantined INTEGER NOT NULL
) STRICT;
CREATE INDEX reconciliations_newest ON reconciliations (started_at, run_id);

-- The workers that look at open tickets, each renewed every second.
CREATE TABLE pollers (
    worker  TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE pollers;
DROP TABLE reconciliations;
DROP TABLE mismatches;
DROP TABLE reviews;
DROP TABLE gateway_events;
DROP TABLE notification_attempts;
DROP TABLE notifications;
DROP TABLE announcements;
DROP TABLE receivers;
DROP TABLE transitions;
DROP TABLE customers;
DROP TABLE refunds;
DROP TABLE payments;
DROP TABLE settings;
