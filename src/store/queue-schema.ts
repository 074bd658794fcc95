/** Rows that the queue takes up; word for word in every query, or the index is not used. */
export const QUEUED = "lane IS NOT NULL AND due_at_ms IS NOT NULL AND state IN ('waiting', 'unknown')";
/** Rows that keep later ones of their resource waiting. */
export const ORDERED = "resource IS NOT NULL AND handed_over = 1 AND state IN ('waiting', 'sent', 'unknown')";

/** The indexes of the queue: they hold only what is in it. */
export const QUEUE_SCHEMA = `
  CREATE INDEX operations_queue ON operations (lane, due_at_ms, n, created_at_ms, handed_over) WHERE ${QUEUED};
  CREATE INDEX operations_order ON operations (resource, n, state, due_at_ms) WHERE ${ORDERED};
`;
