DELETE FROM ledger_entries WHERE cause IN ('goodwill', 'corrected_up', 'corrected_down');
ALTER TABLE ledger_entries
    DROP CONSTRAINT ledger_entries_note,
    DROP CONSTRAINT ledger_entries_accounts,
    DROP COLUMN reason,
    DROP COLUMN actor_name,
    ADD CONSTRAINT ledger_entries_accounts CHECK (
        (cause = 'charged' AND debit_account = 'cash' AND credit_account = 'wallet')
        OR (cause = 'captured' AND debit_account = 'wallet' AND credit_account = 'revenue')
        OR (cause = 'refunded' AND debit_account = 'revenue' AND credit_account = 'wallet')
    );
