-- A payment is given back in parts: part counts the refunds of one payment from 0, in the refund and in its entry of the
-- ledger, so that each part is booked once. What was given back is never more than what was captured.
ALTER TABLE payments
    ADD COLUMN refunded_amount BIGINT NOT NULL DEFAULT 0 AFTER amount,
    MODIFY COLUMN state VARCHAR(24) NOT NULL,
    DROP CONSTRAINT payments_state;

UPDATE payments SET refunded_amount = amount WHERE state = 'refunded';

ALTER TABLE payments
    ADD CONSTRAINT payments_state CHECK (state IN ('captured', 'partially_refunded', 'refunded')),
    ADD CONSTRAINT payments_refunded CHECK (
        refunded_amount BETWEEN 0 AND amount AND (state <> 'captured' OR refunded_amount = 0)
    );

ALTER TABLE refunds
    ADD COLUMN part SMALLINT UNSIGNED NOT NULL DEFAULT 0 AFTER payment_id,
    DROP KEY refunds_once,
    ADD UNIQUE KEY refunds_once (payment_id, part);

ALTER TABLE ledger_entries
    ADD COLUMN part SMALLINT UNSIGNED NOT NULL DEFAULT 0 AFTER reference_id,
    DROP KEY ledger_entries_once,
    ADD UNIQUE KEY ledger_entries_once (cause, reference_id, part);

-- The refund that took this one seat back while others stayed; seat_count and amount of the reservation are of the rest.
ALTER TABLE reservation_seats
    ADD COLUMN returned_by BINARY(16) NULL,
    ADD CONSTRAINT reservation_seats_returned CHECK (returned_by IS NULL OR sold_number IS NULL);

-- Seconds before the start: until the first all is given back, until the second a share in percent, then nothing.
ALTER TABLE schedules
    ADD COLUMN refund_full_until_s INT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN refund_share_until_s INT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN refund_share_percent SMALLINT UNSIGNED NOT NULL DEFAULT 0,
    ADD CONSTRAINT schedules_refunds CHECK (
        refund_share_until_s <= refund_full_until_s AND refund_share_percent <= 100
    );
