-- Times are UTC, in microseconds since 1970. Amounts are cents. A column that
-- ends in _sealed is encrypted, bound to its row and column; one that ends in
-- _digest is keyed, and '' where there is nothing to find. Absent clear texts
-- are ''.
--
-- The same tables as those of SQLite, column by column; a test compares them.
-- COLLATE "C" orders text by its bytes, as SQLite and Go do, whatever language
-- the database was made for: pages go on at an id that was compared in Go.

-- +goose Up
CREATE TABLE settings (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE payments (
    id                   TEXT COLLATE "C" PRIMARY KEY,
    revision             BIGINT NOT NULL,
    fingerprint          TEXT COLLATE "C" NOT NULL,
    sequence             BIGINT NOT NULL,
    status               TEXT COLLATE "C" NOT NULL
        CHECK (status IN ('pending', 'open', 'confirmed', 'completed', 'cancelled', 'expired', 'failed')),
    needs_review         BOOLEAN NOT NULL,
    reference            TEXT COLLATE "C" NOT NULL,
    total_cents          BIGINT NOT NULL,
    subtotal_cents       BIGINT,
    tax_cents            BIGINT,
    phone_sealed         BYTEA,
    phone_digest         TEXT COLLATE "C" NOT NULL,
    metadata1_sealed     BYTEA,
    metadata1_digest     TEXT COLLATE "C" NOT NULL,
    metadata2_sealed     BYTEA,
    metadata2_digest     TEXT COLLATE "C" NOT NULL,
    items_sealed         BYTEA,
    ecommerce_id         TEXT COLLATE "C" NOT NULL,
    reference_number     TEXT COLLATE "C" NOT NULL,
    daily_transaction_id TEXT COLLATE "C" NOT NULL,
    captured_cents       BIGINT, -- NULL until completed
    fee_cents            BIGINT,
    net_cents            BIGINT,
    payer_name_sealed    BYTEA,
    payer_phone_sealed   BYTEA,
    payer_phone_digest   TEXT COLLATE "C" NOT NULL,
    payer_email_sealed   BYTEA,
    failure_code         TEXT COLLATE "C" NOT NULL,
    failure_message      TEXT COLLATE "C" NOT NULL,
    expires_at           BIGINT NOT NULL,
    created_at           BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL,
    completed_at         BIGINT,
    hinted_at            BIGINT -- when an event last named the payment while it was unfinished
);
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
    id               TEXT COLLATE "C" PRIMARY KEY,
    payment_id       TEXT COLLATE "C" NOT NULL REFERENCES payments (id),
    revision         BIGINT NOT NULL,
    fingerprint      TEXT COLLATE "C" NOT NULL,
    claims           BIGINT NOT NULL, -- the last try that was given the right to send it; 0 while none was
    sent_by          TEXT COLLATE "C" NOT NULL, -- the execution that was given it, or who took it; '' while none was
    short_id         TEXT COLLATE "C" NOT NULL, -- the end of the id, which events echo
    amount_cents     BIGINT NOT NULL CHECK (amount_cents > 0),
    status           TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    needs_review     BOOLEAN NOT NULL,
    failure_code     TEXT COLLATE "C" NOT NULL,
    failure_message  TEXT COLLATE "C" NOT NULL,
    reference_number TEXT COLLATE "C" NOT NULL,
    message_sealed   BYTEA,
    source           TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    completed_at     BIGINT
);
-- One unsettled refund for each payment: the last guard of that promise.
CREATE UNIQUE INDEX refunds_one_pending ON refunds (payment_id) WHERE status = 'pending';
CREATE INDEX refunds_payment ON refunds (payment_id, created_at, id);
CREATE INDEX refunds_short_id ON refunds (short_id);
CREATE INDEX refunds_reference_number ON refunds (reference_number) WHERE reference_number <> '';

CREATE TABLE customers (
    phone_digest TEXT COLLATE "C" PRIMARY KEY,
    phone_sealed BYTEA NOT NULL,
    name_sealed  BYTEA,
    name_at      BIGINT NOT NULL, -- when the payment that told it completed; 0 where none did
    email_sealed BYTEA,
    email_at     BIGINT NOT NULL
);

CREATE TABLE transitions (
    payment_id  TEXT COLLATE "C" NOT NULL REFERENCES payments (id),
    sequence    BIGINT NOT NULL,
    from_status TEXT COLLATE "C" NOT NULL,
    to_status   TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (payment_id, sequence)
);

CREATE TABLE receivers (
    host       TEXT COLLATE "C" NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    timeout_ns BIGINT NOT NULL,
    retry_first_ns BIGINT NOT NULL,
    retry_most_ns  BIGINT NOT NULL,
    retry_for_ns   BIGINT NOT NULL,
    PRIMARY KEY (host, event, name)
);
CREATE INDEX receivers_event ON receivers (event, host, name);

-- subject is a payment's id, or that of a refund or a mismatch for its events.
CREATE TABLE announcements (
    subject        TEXT COLLATE "C" NOT NULL,
    event          TEXT COLLATE "C" NOT NULL,
    sequence       BIGINT NOT NULL,
    payload_sealed BYTEA NOT NULL, -- the notification, but for its id
    PRIMARY KEY (subject, event)
);

CREATE TABLE notifications (
    id                TEXT COLLATE "C" PRIMARY KEY,
    subject           TEXT COLLATE "C" NOT NULL, -- as in announcements
    payment_id        TEXT COLLATE "C" REFERENCES payments (id),
    refund_id         TEXT COLLATE "C" REFERENCES refunds (id),
    event             TEXT COLLATE "C" NOT NULL,
    host              TEXT COLLATE "C" NOT NULL,
    receiver          TEXT COLLATE "C" NOT NULL,
    sequence          BIGINT NOT NULL,
    status            TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'dropped')),
    workflow_id       TEXT COLLATE "C" NOT NULL, -- that delivers, or delivered last
    attempts          BIGINT NOT NULL DEFAULT 0, -- all of them; notification_attempts keeps the first and the last
    last_error_sealed BYTEA,
    created_at        BIGINT NOT NULL,
    ended_at          BIGINT
);
CREATE INDEX notifications_subject ON notifications (subject, event);
CREATE INDEX notifications_payment ON notifications (payment_id, sequence);
CREATE INDEX notifications_newest ON notifications (created_at, id);
CREATE INDEX notifications_unfinished ON notifications (status, created_at, id) WHERE status <> 'delivered';

CREATE TABLE notification_attempts (
    notification_id TEXT COLLATE "C" NOT NULL REFERENCES notifications (id),
    execution       TEXT COLLATE "C" NOT NULL, -- each time that it is sent again is one
    number          BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    error_sealed    BYTEA,
    answer_status   BIGINT, -- of an HTTP endpoint
    answer_sealed   BYTEA,
    PRIMARY KEY (notification_id, execution, number)
);

CREATE TABLE gateway_events (
    id               TEXT COLLATE "C" PRIMARY KEY,
    digest           TEXT COLLATE "C" NOT NULL UNIQUE,
    kind             TEXT COLLATE "C" NOT NULL,
    ecommerce_id     TEXT COLLATE "C" NOT NULL,
    reference_number TEXT COLLATE "C" NOT NULL,
    payment_id       TEXT COLLATE "C" NOT NULL, -- as claimed, like all of these; there may be no such payment
    total_cents      BIGINT,
    payer_name_sealed  BYTEA,
    payer_phone_sealed BYTEA,
    payer_email_sealed BYTEA,
    message_sealed   BYTEA,
    body_sealed      BYTEA, -- whole
    headers_sealed   BYTEA,
    verdict          TEXT COLLATE "C" NOT NULL,
    matched_id       TEXT COLLATE "C" NOT NULL,
    effect           TEXT COLLATE "C" NOT NULL,
    deliveries       BIGINT NOT NULL,
    attempts         BIGINT NOT NULL,
    not_before       BIGINT NOT NULL,
    leased_until     BIGINT NOT NULL,
    received_at      BIGINT NOT NULL,
    settled_at       BIGINT
);
CREATE INDEX gateway_events_verdict ON gateway_events (verdict, received_at, id);
CREATE INDEX gateway_events_newest ON gateway_events (received_at, id);
CREATE INDEX gateway_events_ecommerce_id ON gateway_events (ecommerce_id) WHERE ecommerce_id <> '';
CREATE INDEX gateway_events_payment ON gateway_events (payment_id) WHERE payment_id <> '';
CREATE INDEX gateway_events_matched ON gateway_events (matched_id, received_at, id) WHERE matched_id <> '';

-- One row for each time that a person was asked what became of money.
CREATE TABLE reviews (
    id              TEXT COLLATE "C" PRIMARY KEY,
    payment_id      TEXT COLLATE "C" NOT NULL REFERENCES payments (id),
    refund_id       TEXT COLLATE "C" NOT NULL, -- '' where the payment itself is in question
    cause           TEXT COLLATE "C" NOT NULL,
    evidence_sealed BYTEA,
    opened_at       BIGINT NOT NULL,
    verdict         TEXT COLLATE "C" NOT NULL, -- '' while the review is open, like the next two
    source          TEXT COLLATE "C" NOT NULL,
    decided_by      TEXT COLLATE "C" NOT NULL,
    reason_sealed   BYTEA,
    decided_at      BIGINT
);
CREATE INDEX reviews_newest ON reviews (opened_at, id);
CREATE INDEX reviews_open ON reviews (opened_at, id) WHERE decided_at IS NULL;
CREATE INDEX reviews_payment ON reviews (payment_id, opened_at, id);

-- Differences between Cobro's books and the gateway's. Ours and theirs are
-- amounts, statuses and kinds of event: nothing personal.
CREATE TABLE mismatches (
    id               TEXT COLLATE "C" PRIMARY KEY,
    kind             TEXT COLLATE "C" NOT NULL,
    payment_id       TEXT COLLATE "C" NOT NULL, -- '' where none of ours is concerned
    reference_number TEXT COLLATE "C" NOT NULL,
    ours             TEXT COLLATE "C" NOT NULL,
    theirs           TEXT COLLATE "C" NOT NULL,
    source           TEXT COLLATE "C" NOT NULL,
    found_by         TEXT COLLATE "C" NOT NULL, -- the workflow run that found it first, and tells of it
    found_at         BIGINT NOT NULL
);
CREATE INDEX mismatches_newest ON mismatches (found_at, id);
CREATE INDEX mismatches_payment ON mismatches (payment_id, found_at, id) WHERE payment_id <> '';

CREATE TABLE reconciliations (
    run_id      TEXT COLLATE "C" PRIMARY KEY,
    day         TEXT COLLATE "C" NOT NULL,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    report_rows BIGINT NOT NULL,
    matched     BIGINT NOT NULL,
    filled      BIGINT NOT NULL,
    booked      BIGINT NOT NULL,
    mismatches  BIGINT NOT NULL,
    quarantined BIGINT NOT NULL
);
CREATE INDEX reconciliations_newest ON reconciliations (started_at, run_id);

-- The workers that look at open tickets, each renewed every second.
CREATE TABLE pollers (
    worker  TEXT COLLATE "C" PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

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
