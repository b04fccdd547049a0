DROP TABLE seals;

ALTER TABLE audit_log
    DROP KEY audit_log_by_seal,
    DROP COLUMN seal;

ALTER TABLE ledger_entries
    DROP CONSTRAINT ledger_entries_chained,
    DROP KEY ledger_entries_by_seal,
    DROP COLUMN position,
    DROP COLUMN hash,
    DROP COLUMN seal;

ALTER TABLE wallets
    DROP COLUMN entries,
    DROP COLUMN unchained,
    DROP COLUMN head;
