-- How many people were forgotten. Each instance remembers who subjects are; a number that it has not seen says that it must
-- ask again. One row, made by the first who is forgotten.
CREATE TABLE forgets (
    id TINYINT NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT forgets_one_row CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
