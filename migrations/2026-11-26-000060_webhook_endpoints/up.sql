-- What is known of each receiver of webhooks. A receiver that answered 410 is stopped until an operator resumes it.
CREATE TABLE webhook_endpoints (
    receiver VARCHAR(64) NOT NULL,
    stopped_at DATETIME(6) NULL,
    stopped_reason VARCHAR(500) NULL,
    PRIMARY KEY (receiver),
    CONSTRAINT webhook_endpoints_stop CHECK ((stopped_at IS NULL) = (stopped_reason IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- How far each receiver is behind, by partition of the topic: written by the forwarder that has the partition.
CREATE TABLE webhook_lag (
    receiver VARCHAR(64) NOT NULL,
    partition_no INT NOT NULL,
    waiting BIGINT UNSIGNED NOT NULL,
    oldest_at DATETIME(6) NULL,
    measured_at DATETIME(6) NOT NULL,
    PRIMARY KEY (receiver, partition_no)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- attempts counts what the receiver refused, which gives an event up in the end; tries counts all that failed.
ALTER TABLE forwarded_events ADD COLUMN tries INT UNSIGNED NOT NULL DEFAULT 0 AFTER attempts;
