/** Marks a SQLite file as a ledger of ours ("HLDF"). */
export const APPLICATION_ID = 0x48_4c_44_46;

/**
 * The steps that made the schema, oldest first; `user_version` counts those that a file has. A step that was released is
 * never changed. What changes and is looked for stands in `operations`, small and rewritten whole; what never changes
 * (`requests`) and what comes once (`answers`) stand apart under the same number, so that an ending does not rewrite a
 * body. Partial indexes hold only the rows in question: a finished operation leaves those of the open ones.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB);

  CREATE TABLE operations (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    key_hash TEXT,
    endpoint TEXT NOT NULL,
    operation_class TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    body_kept INTEGER NOT NULL,
    credential_ref TEXT NOT NULL,
    fingerprint TEXT,
    identity TEXT NOT NULL,
    context TEXT,
    parent TEXT,
    state TEXT NOT NULL,
    effect TEXT NOT NULL,
    reason TEXT NOT NULL,
    dead_reason TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    sent_at_ms INTEGER,
    due_at_ms INTEGER,
    expires_at_ms INTEGER,
    answer_id TEXT,
    delivered INTEGER NOT NULL,
    looks INTEGER NOT NULL,
    -- JSON records, one a line: a change appends.
    attempts TEXT NOT NULL
  );
  CREATE UNIQUE INDEX operations_id ON operations (id);
  -- Heads of two hashes are as unique as the hashes, and a third of the size: this is the index that is hit at random.
  CREATE UNIQUE INDEX operations_key ON operations (substr(key_hash, 1, 16), substr(scope, 1, 8))
    WHERE key_hash IS NOT NULL;
  CREATE INDEX operations_open ON operations (state) WHERE state IN ('reserved', 'sent', 'unknown');
  CREATE INDEX operations_undelivered ON operations (updated_at_ms) WHERE state = 'succeeded' AND delivered = 0;
  CREATE INDEX operations_due ON operations (due_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX operations_expires ON operations (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
  CREATE INDEX operations_answer ON operations (answer_id) WHERE answer_id IS NOT NULL;

  CREATE TABLE requests (
    n INTEGER PRIMARY KEY,
    headers TEXT NOT NULL,
    -- Sealed, as are the credential and the answer.
    body BLOB,
    credential BLOB
  );

  CREATE TABLE answers (n INTEGER PRIMARY KEY, answer BLOB NOT NULL);

  CREATE TABLE gates (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
  );
  `,
];
