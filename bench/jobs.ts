/** What the runner asks of the load generator, and what it hears back: plain data over the IPC channel. */

/** What is sent. Requests take the paths and tokens in turn. */
export interface Workload {
  readonly method: 'GET' | 'POST';
  readonly paths: readonly string[];
  /** Distinct bearer tokens. */
  readonly tokens: number;
}

/** Keeps `connections` requests in flight; counts only what ends inside the measured time, or runs to `requests`. */
export interface ClosedJob {
  readonly kind: 'closed';
  readonly port: number;
  readonly connections: number;
  readonly workload: Workload;
  readonly rampMs: number;
  readonly measureMs: number;
  /** Ends after this many requests instead of after `measureMs`; null for by time. */
  readonly requests: number | null;
  /** The process whose processor time is read at both ends of the measured time; null for none. */
  readonly pid: number | null;
}

/** Sends at a fixed rate whatever comes back; latency counts from the intended send. */
export interface OpenJob {
  readonly kind: 'open';
  readonly port: number;
  readonly perSecond: number;
  readonly workload: Workload;
  readonly rampMs: number;
  readonly measureMs: number;
}

/** Moves one body of `bytes` through, downward or upward. */
export interface StreamJob {
  readonly kind: 'download' | 'upload';
  readonly port: number;
  readonly bytes: number;
}

/** One thing to do; one at a time. */
export type Job = ClosedJob | OpenJob | StreamJob;

/** What a closed job found. */
export interface ClosedResult {
  readonly requests: number;
  readonly wallMs: number;
  /** Of the watched process, all threads; 0 when none was watched. */
  readonly cpuMs: number;
}

/** What an open job found, in ms from the intended send. */
export interface OpenResult {
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
}

/** What a stream job found. */
export interface StreamResult {
  readonly bytes: number;
  readonly wallMs: number;
}

/** The result of each kind of job. */
export type ResultOf<J extends Job> = J extends ClosedJob
  ? ClosedResult
  : J extends OpenJob
    ? OpenResult
    : StreamResult;

/** The answer to a job: its result, or why it failed. */
export type Reply = { readonly ok: unknown } | { readonly error: string };
