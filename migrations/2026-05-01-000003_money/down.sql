DROP TABLE refunds;
DROP TABLE payments;
DROP TABLE ledger_entries;
DROP TABLE wallets;
