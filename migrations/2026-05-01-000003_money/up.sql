-- Money in minor units. The ledger is the truth, the wallet is its checked projection.
--
-- The foreign keys here point at rows that the writing transaction has locked already: the wallet before the ledger,
-- the reservation before the payment, the payment before the refund.

CREATE TABLE wallets (
    user_id BINARY(16) NOT NULL,
    balance BIGINT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (user_id),
    CONSTRAINT wallets_balance CHECK (balance BETWEEN 0 AND 1000000000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Append only: nothing changes or removes an entry. One row is both sides of a booking, so it balances by
-- construction; a cause can be booked once for what it refers to.
CREATE TABLE ledger_entries (
    id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    cause VARCHAR(16) NOT NULL,
    reference_id BINARY(16) NOT NULL,
    debit_account VARCHAR(16) NOT NULL,
    credit_account VARCHAR(16) NOT NULL,
    amount BIGINT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY ledger_entries_once (cause, reference_id),
    KEY ledger_entries_by_user (user_id, id),
    CONSTRAINT ledger_entries_wallet FOREIGN KEY (user_id) REFERENCES wallets (user_id),
    CONSTRAINT ledger_entries_amount CHECK (amount > 0),
    CONSTRAINT ledger_entries_accounts CHECK (
        (cause = 'charged' AND debit_account = 'cash' AND credit_account = 'wallet')
        OR (cause = 'captured' AND debit_account = 'wallet' AND credit_account = 'revenue')
        OR (cause = 'refunded' AND debit_account = 'revenue' AND credit_account = 'wallet')
    )
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE payments (
    id BINARY(16) NOT NULL,
    reservation_id BINARY(16) NOT NULL,
    user_id BINARY(16) NOT NULL,
    amount BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY payments_once (reservation_id),
    CONSTRAINT payments_reservation FOREIGN KEY (reservation_id) REFERENCES reservations (id),
    CONSTRAINT payments_amount CHECK (amount >= 0),
    CONSTRAINT payments_state CHECK (state IN ('captured', 'refunded'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE refunds (
    id BINARY(16) NOT NULL,
    payment_id BINARY(16) NOT NULL,
    amount BIGINT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY refunds_once (payment_id),
    CONSTRAINT refunds_payment FOREIGN KEY (payment_id) REFERENCES payments (id),
    CONSTRAINT refunds_amount CHECK (amount >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
