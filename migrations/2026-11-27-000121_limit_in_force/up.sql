-- How many seats of the date its user might have when the reservation was made; NULL from before. So a limit that an operator
-- changes later judges nothing that was sold before.
ALTER TABLE reservations ADD COLUMN max_seats SMALLINT UNSIGNED NULL;
