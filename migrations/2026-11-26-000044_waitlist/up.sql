-- Who waits for seats of a date to come back. seq is the order; a user has one live entry of a date.
CREATE TABLE waitlist_entries (
    seq BIGINT NOT NULL AUTO_INCREMENT,
    id BINARY(16) NOT NULL,
    schedule_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    seat_count SMALLINT UNSIGNED NOT NULL,
    grade VARCHAR(32) NULL,
    state VARCHAR(16) NOT NULL,
    reservation_id BINARY(16) NULL,
    created_at DATETIME(6) NOT NULL,
    live_user BINARY(16) AS (IF(state IN ('waiting', 'offered'), user_id, NULL)) STORED,
    PRIMARY KEY (seq),
    UNIQUE KEY waitlist_entries_id (id),
    UNIQUE KEY waitlist_entries_live_once (schedule_id, live_user),
    KEY waitlist_entries_in_order (schedule_id, state, seq),
    KEY waitlist_entries_by_state (state, seq),
    KEY waitlist_entries_by_user (user_id, seq),
    CONSTRAINT waitlist_entries_seat_count CHECK (seat_count BETWEEN 1 AND 50),
    CONSTRAINT waitlist_entries_state CHECK (
        (state IN ('waiting', 'left', 'expired') )
        OR (state IN ('offered', 'taken', 'lapsed') AND reservation_id IS NOT NULL)
    )
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- How many wait. Whoever waits or is offered seats changes it, a sale never does: it reads it with the date.
ALTER TABLE schedules
    ADD COLUMN waiting INT UNSIGNED NOT NULL DEFAULT 0,
    ADD KEY schedules_by_waiting (waiting);
