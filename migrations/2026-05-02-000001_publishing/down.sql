DROP TABLE forwarded_events;
ALTER TABLE outbox
    ADD KEY outbox_order (aggregate_id, seq),
    DROP KEY outbox_heads,
    DROP KEY outbox_by_state,
    DROP CONSTRAINT outbox_claim,
    DROP COLUMN refusals,
    DROP COLUMN claimed_by,
    DROP COLUMN claimed_until;
