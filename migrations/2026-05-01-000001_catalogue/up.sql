-- What can be bought: concerts, their dates, the seats of each date.
-- Text is compared byte by byte (utf8mb4_bin), so that states, queues and keys never match by accident.

CREATE TABLE concerts (
    id BINARY(16) NOT NULL,
    title VARCHAR(200) NOT NULL,
    venue VARCHAR(200) NULL,
    queue VARCHAR(32) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT concerts_title CHECK (CHAR_LENGTH(title) > 0),
    CONSTRAINT concerts_queue CHECK (CHAR_LENGTH(queue) > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE schedules (
    id BINARY(16) NOT NULL,
    concert_id BINARY(16) NOT NULL,
    starts_at DATETIME(6) NOT NULL,
    sales_open_at DATETIME(6) NOT NULL,
    sales_close_at DATETIME(6) NOT NULL,
    seats_total INT UNSIGNED NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    KEY schedules_by_concert (concert_id, starts_at),
    CONSTRAINT schedules_concert FOREIGN KEY (concert_id) REFERENCES concerts (id),
    CONSTRAINT schedules_sales CHECK (sales_open_at < sales_close_at AND sales_close_at <= starts_at),
    CONSTRAINT schedules_seats_total CHECK (seats_total BETWEEN 1 AND 10000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The judge of every sale: one row is one seat, and it is in exactly one of three shapes.
-- No index but the key: a statement that names seats locks them in the order of their numbers, and only them.
-- No foreign key to the reservation: the seat is taken before the reservation is written.
CREATE TABLE seats (
    schedule_id BINARY(16) NOT NULL,
    number SMALLINT UNSIGNED NOT NULL,
    grade VARCHAR(32) NOT NULL,
    price BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL DEFAULT 'available',
    reservation_id BINARY(16) NULL,
    holder_id BINARY(16) NULL,
    hold_expires_at DATETIME(6) NULL,
    PRIMARY KEY (schedule_id, number),
    CONSTRAINT seats_schedule FOREIGN KEY (schedule_id) REFERENCES schedules (id),
    CONSTRAINT seats_number CHECK (number BETWEEN 1 AND 10000),
    CONSTRAINT seats_grade CHECK (CHAR_LENGTH(grade) > 0),
    CONSTRAINT seats_price CHECK (price BETWEEN 0 AND 100000000),
    CONSTRAINT seats_shape CHECK (
        (state = 'available' AND reservation_id IS NULL AND holder_id IS NULL AND hold_expires_at IS NULL)
        OR (state = 'held' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NOT NULL)
        OR (state = 'sold' AND reservation_id IS NOT NULL AND holder_id IS NOT NULL AND hold_expires_at IS NULL)
    )
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
