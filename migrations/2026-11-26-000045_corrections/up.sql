-- Money that an operator moves: a gift of the house, or the correction of a mistake, each with its reason and the name of
-- the key. A correction goes the other way round; no entry is changed.
ALTER TABLE ledger_entries
    ADD COLUMN reason VARCHAR(200) NULL,
    ADD COLUMN actor_name VARCHAR(128) NULL,
    DROP CONSTRAINT ledger_entries_accounts,
    ADD CONSTRAINT ledger_entries_accounts CHECK (
        (cause = 'charged' AND debit_account = 'cash' AND credit_account = 'wallet')
        OR (cause = 'captured' AND debit_account = 'wallet' AND credit_account = 'revenue')
        OR (cause = 'refunded' AND debit_account = 'revenue' AND credit_account = 'wallet')
        OR (cause = 'goodwill' AND debit_account = 'goodwill' AND credit_account = 'wallet')
        OR (cause = 'corrected_up' AND debit_account = 'adjustment' AND credit_account = 'wallet')
        OR (cause = 'corrected_down' AND debit_account = 'wallet' AND credit_account = 'adjustment')
    ),
    ADD CONSTRAINT ledger_entries_note CHECK (
        (cause IN ('goodwill', 'corrected_up', 'corrected_down')) = (reason IS NOT NULL AND actor_name IS NOT NULL)
    );
