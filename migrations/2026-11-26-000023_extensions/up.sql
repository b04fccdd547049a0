-- When the hold was extended; once is all.
ALTER TABLE reservations
    ADD COLUMN extended_at DATETIME(6) NULL;
