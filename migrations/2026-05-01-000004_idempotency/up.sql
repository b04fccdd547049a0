-- What was answered to a request that may be repeated. A row without a status is a key that was claimed and whose
-- request was refused: nothing happened, and the next request with this key may try.
CREATE TABLE idempotency_keys (
    user_id BINARY(16) NOT NULL,
    route VARCHAR(64) NOT NULL,
    idempotency_key VARCHAR(255) NOT NULL,
    fingerprint BINARY(32) NOT NULL,
    claims INT UNSIGNED NOT NULL DEFAULT 1,
    status SMALLINT UNSIGNED NULL,
    body MEDIUMTEXT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY idempotency_keys_by_age (created_at),
    CONSTRAINT idempotency_keys_answer CHECK (
        (status IS NULL AND body IS NULL) OR (status BETWEEN 200 AND 299 AND body IS NOT NULL)
    )
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
