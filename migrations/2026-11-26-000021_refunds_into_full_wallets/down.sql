ALTER TABLE wallets
    DROP CONSTRAINT wallets_balance,
    ADD CONSTRAINT wallets_balance CHECK (balance BETWEEN 0 AND 1000000000);
