-- The way of an event: from the outbox to the topic, from the topic to whoever is told of it.
--
-- A publisher takes an event for a while (claimed_by, claimed_until), sends it without holding any lock, then writes
-- what became of it. refusals counts the broker's own refusals, attempts all failures: an outage never kills an event.
-- Only the head of an aggregate, its earliest pending event, is ever taken; outbox_heads finds what stands before one.
ALTER TABLE outbox
    ADD COLUMN refusals INT UNSIGNED NOT NULL DEFAULT 0 AFTER attempts,
    ADD COLUMN claimed_by BINARY(16) NULL AFTER next_attempt_at,
    ADD COLUMN claimed_until DATETIME(6) NULL AFTER claimed_by,
    ADD CONSTRAINT outbox_claim CHECK ((claimed_by IS NULL) = (claimed_until IS NULL)),
    ADD KEY outbox_heads (aggregate_id, state, seq),
    ADD KEY outbox_by_state (state, seq),
    DROP KEY outbox_order;

-- What was passed to a receiver, so that a repetition on the topic is not passed again. A row is claimed before each
-- try, so that two forwarders that were both given the same event do not both send it.
CREATE TABLE forwarded_events (
    event_id BINARY(16) NOT NULL,
    receiver VARCHAR(64) NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    claimed_by BINARY(16) NULL,
    claimed_until DATETIME(6) NULL,
    last_error VARCHAR(500) NULL,
    updated_at DATETIME(6) NOT NULL,
    PRIMARY KEY (event_id, receiver),
    KEY forwarded_events_by_age (state, updated_at),
    CONSTRAINT forwarded_events_state CHECK (state IN ('sending', 'delivered', 'dead')),
    CONSTRAINT forwarded_events_claim CHECK ((claimed_by IS NULL) = (claimed_until IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
