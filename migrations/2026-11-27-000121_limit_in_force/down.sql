ALTER TABLE reservations DROP COLUMN max_seats;
