-- Books that prove themselves. An entry of the ledger carries the hash of all entries of its wallet up to it, the wallet that
-- of the last one: a sale writes both with the rows that it locks and inserts anyway. Entries from before have no position;
-- how many they are is kept, and the seals below cover them too.
ALTER TABLE wallets
    ADD COLUMN entries INT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN unchained INT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN head BINARY(32) NOT NULL DEFAULT X'0000000000000000000000000000000000000000000000000000000000000000';

ALTER TABLE ledger_entries
    ADD COLUMN position INT UNSIGNED NULL,
    ADD COLUMN hash BINARY(32) NULL,
    ADD COLUMN seal BIGINT UNSIGNED NULL,
    ADD KEY ledger_entries_by_seal (seal),
    ADD CONSTRAINT ledger_entries_chained CHECK ((position IS NULL) = (hash IS NULL));

UPDATE wallets
    SET unchained = (SELECT COUNT(*) FROM ledger_entries e WHERE e.user_id = wallets.user_id);

ALTER TABLE audit_log
    ADD COLUMN seal BIGINT UNSIGNED NULL,
    ADD KEY audit_log_by_seal (seal);

-- The chain over all rows of the ledger and the audit log. A seal carries the hash of the seal before it and of the rows that
-- are under it; a step writes it a little later, so that no sale waits for a row that all sales would change. Whoever seals
-- locks seal 0, under which there is nothing.
CREATE TABLE seals (
    number BIGINT UNSIGNED NOT NULL,
    audit_rows INT UNSIGNED NOT NULL,
    ledger_rows INT UNSIGNED NOT NULL,
    rows_so_far BIGINT UNSIGNED NOT NULL,
    last_seq BIGINT NOT NULL,
    hash BINARY(32) NOT NULL,
    sealed_at DATETIME(6) NOT NULL,
    PRIMARY KEY (number),
    KEY seals_by_time (sealed_at),
    CONSTRAINT seals_rows CHECK (number = 0 OR audit_rows + ledger_rows > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO seals (number, audit_rows, ledger_rows, rows_so_far, last_seq, hash, sealed_at)
    VALUES (0, 0, 0, 0, 0, X'0000000000000000000000000000000000000000000000000000000000000000', '2026-01-01 00:00:00');
