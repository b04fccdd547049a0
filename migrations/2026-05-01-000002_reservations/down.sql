DROP TABLE reservation_seats;
DROP TABLE reservations;
DROP TABLE buyers;
