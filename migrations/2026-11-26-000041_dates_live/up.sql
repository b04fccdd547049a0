-- Operators change what is on sale. version counts the changes, so that two who edit at once notice each other.
ALTER TABLE concerts
    ADD COLUMN hidden BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN version INT UNSIGNED NOT NULL DEFAULT 1;

-- A cancelled date stays: its reservations, payments and events refer to it.
ALTER TABLE schedules
    ADD COLUMN hidden BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN max_seats_per_user SMALLINT UNSIGNED NULL,
    ADD COLUMN cancelled_at DATETIME(6) NULL,
    ADD COLUMN version INT UNSIGNED NOT NULL DEFAULT 1,
    ADD CONSTRAINT schedules_max_seats_per_user CHECK (max_seats_per_user BETWEEN 1 AND 50);

-- A blocked seat is nobody's and not for sale. No verb of a sale ever finds it free.
ALTER TABLE seats
    ADD COLUMN blocked_reason VARCHAR(200) NULL,
    DROP CONSTRAINT seats_shape,
    ADD CONSTRAINT seats_shape CHECK (
        (state = 'available' AND reservation_id IS NULL AND holder_id IS NULL AND hold_expires_at IS NULL AND blocked_reason IS NULL)
        OR (state = 'held' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NOT NULL AND blocked_reason IS NULL)
        OR (state = 'sold' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NULL AND blocked_reason IS NULL)
        OR (state = 'blocked' AND reservation_id IS NULL AND holder_id IS NULL AND hold_expires_at IS NULL AND blocked_reason IS NOT NULL)
    );
