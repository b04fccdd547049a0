ALTER TABLE schedules DROP KEY schedules_by_waiting, DROP COLUMN waiting;
DROP TABLE waitlist_entries;
