-- Money that comes from a payment provider. A row is one order: what was asked of the provider, what became of it, and
-- what the provider has yet to be told (instruction). Money moves in the transaction that moves the state on, once.
CREATE TABLE provider_orders (
    id BINARY(16) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    reservation_id BINARY(16) NULL,
    amount BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    instruction VARCHAR(16) NULL,
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6) NOT NULL,
    last_error VARCHAR(500) NULL,
    created_at DATETIME(6) NOT NULL,
    -- At most one order at a time is on its way to pay for a reservation.
    pending_for BINARY(16) AS (IF(state = 'pending', reservation_id, NULL)) STORED,
    PRIMARY KEY (id),
    UNIQUE KEY provider_orders_one_at_a_time (pending_for),
    KEY provider_orders_due (instruction, next_attempt_at),
    CONSTRAINT provider_orders_kind CHECK (
        (kind = 'charge' AND reservation_id IS NULL) OR (kind = 'payment' AND reservation_id IS NOT NULL)
    ),
    CONSTRAINT provider_orders_amount CHECK (amount > 0),
    CONSTRAINT provider_orders_state CHECK (state IN ('pending', 'succeeded', 'failed', 'voided')),
    CONSTRAINT provider_orders_instruction CHECK (instruction IN ('open', 'capture', 'void'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
