UPDATE seats SET state = 'available', blocked_reason = NULL WHERE state = 'blocked';
ALTER TABLE seats
    DROP CONSTRAINT seats_shape,
    DROP COLUMN blocked_reason,
    ADD CONSTRAINT seats_shape CHECK (
        (state = 'available' AND reservation_id IS NULL AND holder_id IS NULL AND hold_expires_at IS NULL)
        OR (state = 'held' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NOT NULL)
        OR (state = 'sold' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NULL)
    );
ALTER TABLE schedules
    DROP CONSTRAINT schedules_max_seats_per_user,
    DROP COLUMN hidden,
    DROP COLUMN max_seats_per_user,
    DROP COLUMN cancelled_at,
    DROP COLUMN version;
ALTER TABLE concerts DROP COLUMN hidden, DROP COLUMN version;
