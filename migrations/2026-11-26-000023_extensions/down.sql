ALTER TABLE reservations
    DROP COLUMN extended_at;
