ALTER TABLE payments
    DROP COLUMN refund_full_until,
    DROP COLUMN refund_share_until,
    DROP COLUMN refund_share_percent;
