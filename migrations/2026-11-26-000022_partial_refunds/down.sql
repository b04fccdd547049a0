ALTER TABLE schedules
    DROP CONSTRAINT schedules_refunds,
    DROP COLUMN refund_full_until_s,
    DROP COLUMN refund_share_until_s,
    DROP COLUMN refund_share_percent;

ALTER TABLE reservation_seats
    DROP CONSTRAINT reservation_seats_returned,
    DROP COLUMN returned_by;

ALTER TABLE ledger_entries
    DROP KEY ledger_entries_once,
    DROP COLUMN part,
    ADD UNIQUE KEY ledger_entries_once (cause, reference_id);

ALTER TABLE refunds
    DROP KEY refunds_once,
    DROP COLUMN part,
    ADD UNIQUE KEY refunds_once (payment_id);

ALTER TABLE payments
    DROP CONSTRAINT payments_refunded,
    DROP CONSTRAINT payments_state,
    DROP COLUMN refunded_amount,
    MODIFY COLUMN state VARCHAR(16) NOT NULL,
    ADD CONSTRAINT payments_state CHECK (state IN ('captured', 'refunded'));
