DROP TABLE forgets;
