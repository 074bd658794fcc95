import { Events } from '../../src/ops/events.ts';
import { createLog } from '../../src/ops/log.ts';
import { createMetrics, type Metrics } from '../../src/ops/metrics.ts';

/** Real events whose log lines a test can read, in order. */
export interface RecordedEvents {
  readonly events: Events;
  readonly metrics: Metrics;
  /** Parsed log lines, from level debug. */
  readonly lines: Record<string, unknown>[];
  /** The lines of one event. */
  readonly named: (event: string) => Record<string, unknown>[];
}

/** Makes events that write to memory. `level: 'silent'` for tests that make very many. */
export function recordedEvents(level = 'debug'): RecordedEvents {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level, redact: [] }, { write: (line) => void lines.push(JSON.parse(line)) });
  const metrics = createMetrics();
  return {
    events: new Events(log, metrics),
    metrics,
    lines,
    named: (event) => lines.filter((line) => line['event'] === event),
  };
}
