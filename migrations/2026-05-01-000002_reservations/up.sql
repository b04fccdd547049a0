-- Who holds or has bought which seats.
--
-- Foreign keys stand only where the parent row was written, or is locked, by the same transaction. A foreign key
-- takes a shared lock on its parent; two transactions that hold it and both go on to change the parent lock each
-- other out for ever. So buyers and reservations do not refer to schedules, which every sale would share.

-- The lock that lines up one user's reservations of one schedule, so that they are counted one after another.
CREATE TABLE buyers (
    schedule_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    last_seen_at DATETIME(6) NOT NULL,
    PRIMARY KEY (schedule_id, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE reservations (
    id BINARY(16) NOT NULL,
    schedule_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    state VARCHAR(16) NOT NULL,
    seat_count SMALLINT UNSIGNED NOT NULL,
    amount BIGINT NOT NULL,
    hold_expires_at DATETIME(6) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    KEY reservations_due (state, hold_expires_at),
    KEY reservations_by_user (user_id, id),
    KEY reservations_by_buyer (schedule_id, user_id),
    CONSTRAINT reservations_state CHECK (state IN ('held', 'confirmed', 'cancelled', 'expired', 'refunded')),
    CONSTRAINT reservations_seat_count CHECK (seat_count > 0),
    CONSTRAINT reservations_amount CHECK (amount >= 0),
    CONSTRAINT reservations_hold CHECK (hold_expires_at > created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The seats of a reservation as they were when it was made. sold_number is the seat number while the reservation is
-- confirmed and NULL otherwise: the unique key over it is the second judge, so a seat that was sold twice by a
-- mistake in the code is refused by the database.
CREATE TABLE reservation_seats (
    reservation_id BINARY(16) NOT NULL,
    seat_number SMALLINT UNSIGNED NOT NULL,
    schedule_id BINARY(16) NOT NULL,
    grade VARCHAR(32) NOT NULL,
    price BIGINT NOT NULL,
    sold_number SMALLINT UNSIGNED NULL,
    PRIMARY KEY (reservation_id, seat_number),
    UNIQUE KEY reservation_seats_sold_once (schedule_id, sold_number),
    CONSTRAINT reservation_seats_reservation FOREIGN KEY (reservation_id) REFERENCES reservations (id),
    CONSTRAINT reservation_seats_price CHECK (price BETWEEN 0 AND 100000000),
    CONSTRAINT reservation_seats_sold CHECK (sold_number IS NULL OR sold_number = seat_number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
