/** The tables. The rows name operations and hold no part of them. */
export const REDRIVES_SCHEMA = `
  CREATE TABLE redrives (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    over INTEGER NOT NULL,
    head TEXT NOT NULL
  );
  CREATE TABLE redrive_rows (
    redrive TEXT NOT NULL,
    n INTEGER NOT NULL,
    operation TEXT NOT NULL,
    result TEXT,
    detail TEXT NOT NULL,
    at_ms INTEGER,
    PRIMARY KEY (redrive, n)
  ) WITHOUT ROWID;
  CREATE INDEX redrive_rows_pending ON redrive_rows (redrive, n) WHERE result IS NULL;
  CREATE INDEX redrive_rows_result ON redrive_rows (redrive, result);
`;
