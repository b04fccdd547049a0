-- The upper limit is one of charging: money that comes back goes in, however full the wallet is.
ALTER TABLE wallets
    DROP CONSTRAINT wallets_balance,
    ADD CONSTRAINT wallets_balance CHECK (balance >= 0);
