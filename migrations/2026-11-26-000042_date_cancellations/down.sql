DROP TABLE schedule_cancellations;
