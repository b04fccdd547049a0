-- What the rules of the date said when it was paid, as instants: until when all of the price comes back, and until when a share, in
-- percent. NULL from before, and where an older instance took the payment: then the rules of the date alone say it.
ALTER TABLE payments
    ADD COLUMN refund_full_until DATETIME(6) NULL,
    ADD COLUMN refund_share_until DATETIME(6) NULL,
    ADD COLUMN refund_share_percent SMALLINT UNSIGNED NULL;
