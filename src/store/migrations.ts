import { QUEUE_SCHEMA } from './queue-schema.ts';
import { REDRIVES_SCHEMA } from './redrives-schema.ts';

/** Marks a SQLite file as a ledger of ours ("HLDF"). */
export const APPLICATION_ID = 0x48_4c_44_46;

/** For triggers: the row as it is now joins its group and the lists, and as it was leaves its group. */
const COUNTED_IN = `
    INSERT INTO dead_groups (cause_id, endpoint, dead_reason, state, label, rows, calls, bytes, first_ms, last_ms)
    SELECT coalesce(NEW.cause_id, ''), NEW.endpoint, NEW.dead_reason, NEW.state, coalesce(NEW.cause_label, NEW.endpoint), 1,
      NEW.count, NEW.bytes, NEW.created_at_ms, coalesce(NEW.dead_at_ms, NEW.updated_at_ms)
    WHERE true
    ON CONFLICT DO UPDATE SET rows = rows + 1, calls = calls + excluded.calls, bytes = bytes + excluded.bytes,
      first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms);
    INSERT OR REPLACE INTO dead_rows (n, group_id, created_at_ms, dead_at_ms, count, bytes)
    SELECT NEW.n, id, NEW.created_at_ms, coalesce(NEW.dead_at_ms, NEW.updated_at_ms), NEW.count, NEW.bytes FROM dead_groups
    WHERE cause_id = coalesce(NEW.cause_id, '') AND endpoint = NEW.endpoint AND dead_reason = NEW.dead_reason
      AND state = NEW.state`;
const COUNTED_OUT = `
    UPDATE dead_groups SET rows = rows - 1, calls = calls - OLD.count, bytes = bytes - OLD.bytes
    WHERE cause_id = coalesce(OLD.cause_id, '') AND endpoint = OLD.endpoint AND dead_reason = OLD.dead_reason
      AND state = OLD.state;
    DELETE FROM dead_groups WHERE cause_id = coalesce(OLD.cause_id, '') AND rows <= 0`;
const LISTED = `
    INSERT INTO dead_context SELECT key, value, NEW.n FROM json_each(NEW.context)`;
const UNLISTED = `
    DELETE FROM dead_rows WHERE n = OLD.n;
    DELETE FROM dead_context WHERE (key, value) IN (SELECT key, value FROM json_each(OLD.context)) AND n = OLD.n`;

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
  // Dead letters: what is known of them, the ways to find one, and counts by group that triggers keep, so that no list
  // and no gauge has to count rows.
  `
  ALTER TABLE operations ADD COLUMN dead_at_ms INTEGER;
  ALTER TABLE operations ADD COLUMN cause_id TEXT;
  ALTER TABLE operations ADD COLUMN cause_label TEXT;
  ALTER TABLE operations ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE operations ADD COLUMN former_key_hash TEXT;
  ALTER TABLE operations ADD COLUMN natural_key TEXT;
  ALTER TABLE operations ADD COLUMN config_hash TEXT;
  ALTER TABLE operations ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE operations ADD COLUMN lane TEXT;
  ALTER TABLE operations ADD COLUMN resource TEXT;
  ALTER TABLE operations ADD COLUMN superseded_by TEXT;
  ALTER TABLE operations ADD COLUMN maybe_superseded_by TEXT;
  ALTER TABLE operations ADD COLUMN redrive_id TEXT;
  -- Of a dead letter, about what it takes on the disk.
  ALTER TABLE operations ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

  CREATE INDEX operations_dead_age ON operations (dead_at_ms) WHERE dead_reason IS NOT NULL;
  CREATE INDEX operations_dead_identity ON operations (identity) WHERE dead_reason IS NOT NULL;
  CREATE INDEX operations_dead_key ON operations (former_key_hash) WHERE former_key_hash IS NOT NULL;
  CREATE INDEX operations_natural_key ON operations (natural_key) WHERE natural_key IS NOT NULL;
  CREATE INDEX operations_dead_cause ON operations (cause_id, n) WHERE dead_reason IS NOT NULL;

  CREATE INDEX operations_redrive ON operations (redrive_id) WHERE redrive_id IS NOT NULL;

  CREATE TABLE dead_groups (
    id INTEGER PRIMARY KEY,
    cause_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    dead_reason TEXT NOT NULL,
    state TEXT NOT NULL,
    label TEXT NOT NULL,
    rows INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    UNIQUE (cause_id, endpoint, dead_reason, state)
  );
  -- What lists and filters read: some forty bytes a row, in the order of lists.
  CREATE TABLE dead_rows (
    n INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    dead_at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  );
  CREATE TABLE dead_context (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (key, value, n)
  ) WITHOUT ROWID;

  CREATE TRIGGER dead_inserted AFTER INSERT ON operations WHEN NEW.dead_reason IS NOT NULL BEGIN
    ${COUNTED_IN};
    ${LISTED};
  END;
  CREATE TRIGGER dead_deleted AFTER DELETE ON operations WHEN OLD.dead_reason IS NOT NULL BEGIN
    ${COUNTED_OUT};
    ${UNLISTED};
  END;
  CREATE TRIGGER dead_changed AFTER UPDATE OF state, dead_reason, cause_id, count, bytes, dead_at_ms ON operations
    WHEN OLD.dead_reason IS NOT NULL AND NEW.dead_reason IS NOT NULL BEGIN
    ${COUNTED_OUT};
    ${COUNTED_IN};
  END;
  CREATE TRIGGER dead_died AFTER UPDATE OF dead_reason ON operations
    WHEN OLD.dead_reason IS NULL AND NEW.dead_reason IS NOT NULL BEGIN
    ${COUNTED_IN};
    ${LISTED};
  END;
  CREATE TRIGGER dead_revived AFTER UPDATE OF dead_reason ON operations
    WHEN OLD.dead_reason IS NOT NULL AND NEW.dead_reason IS NULL BEGIN
    ${COUNTED_OUT};
    ${UNLISTED};
  END;
  `,
  REDRIVES_SCHEMA,
  QUEUE_SCHEMA,
];
