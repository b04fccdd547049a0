-- One row is one date that is being cancelled or was: who asked for it, and how far it has come. The figures change in
-- the transactions that do the work.
CREATE TABLE schedule_cancellations (
    schedule_id BINARY(16) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    requested_by VARCHAR(128) NOT NULL,
    requested_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    holds_ended INT UNSIGNED NOT NULL DEFAULT 0,
    payments_refunded INT UNSIGNED NOT NULL DEFAULT 0,
    amount_refunded BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (schedule_id),
    KEY schedule_cancellations_open (finished_at, requested_at),
    CONSTRAINT schedule_cancellations_schedule FOREIGN KEY (schedule_id) REFERENCES schedules (id),
    CONSTRAINT schedule_cancellations_amount CHECK (amount_refunded >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
