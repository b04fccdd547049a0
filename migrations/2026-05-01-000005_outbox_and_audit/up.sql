-- Events that were recorded with their cause and wait to be published.
-- Whoever records an event holds the lock on its aggregate, so within one aggregate seq is the order of the commits.
CREATE TABLE outbox (
    seq BIGINT NOT NULL AUTO_INCREMENT,
    id BINARY(16) NOT NULL,
    aggregate_type VARCHAR(32) NOT NULL,
    aggregate_id BINARY(16) NOT NULL,
    type VARCHAR(64) NOT NULL,
    payload MEDIUMTEXT NOT NULL,
    state VARCHAR(16) NOT NULL DEFAULT 'pending',
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6) NOT NULL,
    last_error VARCHAR(500) NULL,
    created_at DATETIME(6) NOT NULL,
    delivered_at DATETIME(6) NULL,
    PRIMARY KEY (seq),
    UNIQUE KEY outbox_once (id),
    KEY outbox_due (state, next_attempt_at, seq),
    KEY outbox_order (aggregate_id, seq),
    CONSTRAINT outbox_payload CHECK (JSON_VALID(payload)),
    CONSTRAINT outbox_state CHECK (
        (state IN ('pending', 'dead') AND delivered_at IS NULL)
        OR (state = 'delivered' AND delivered_at IS NOT NULL)
    )
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Append only: who changed the state of what, and why. Nothing changes or removes a row.
CREATE TABLE audit_log (
    seq BIGINT NOT NULL AUTO_INCREMENT,
    entity VARCHAR(16) NOT NULL,
    entity_id BINARY(16) NOT NULL,
    action VARCHAR(32) NOT NULL,
    actor VARCHAR(16) NOT NULL,
    actor_id BINARY(16) NULL,
    at DATETIME(6) NOT NULL,
    detail MEDIUMTEXT NOT NULL,
    PRIMARY KEY (seq),
    KEY audit_log_by_entity (entity_id, seq),
    CONSTRAINT audit_log_actor CHECK (
        (actor = 'user' AND actor_id IS NOT NULL) OR (actor IN ('operator', 'sweeper') AND actor_id IS NULL)
    ),
    CONSTRAINT audit_log_detail CHECK (JSON_VALID(detail))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
