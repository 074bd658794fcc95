/**
 * The configuration in force, compiled: what `src/config` makes of the file, environment and flags, and what everybody
 * else reads. Types only. A reload swaps the whole object at once; a call keeps the policy it started with.
 */

import type { BreakerPolicy } from './breaker.ts';
import type { EndpointPolicy, Limits } from './policy.ts';

/** A host and a port to listen on; port 0 takes a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Whose credential goes to the upstream. */
export type UpstreamCredentials =
  | { readonly kind: 'passthrough' }
  | { readonly kind: 'bearer_file'; readonly file: string }
  | { readonly kind: 'bearer_env'; readonly name: string };

/** Who may use the proxy. `open` is the default on loopback and must be written out elsewhere (contract, `clients`). */
export type ClientAccess = { readonly kind: 'open' } | { readonly kind: 'token_file'; readonly file: string };

/** Where the upstream is and how to reach it. */
export interface UpstreamSettings {
  /** Scheme, host and port only; a path prefix is a configuration error. */
  readonly origin: string;
  readonly connections: number;
  /** Proxy URL for HTTP CONNECT; null for none. HTTPS_PROXY and NO_PROXY are already applied. */
  readonly proxy: string | null;
  readonly caFile: string | null;
  readonly credentials: UpstreamCredentials;
  /** Of the whole host; connection-level failures feed it. */
  readonly breaker: BreakerPolicy;
}

/** How long dead letters are kept, and how much of them; the oldest go first (semantics §9). */
export interface DeadLetterSettings {
  readonly retainMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** A breaker that closes sends again what its open time made. */
  readonly autoRedrive: boolean;
}

/** How dead letters are sent again, unless a redrive says otherwise. */
export interface RedriveSettings {
  /** Share of the token's quota, 0..1. */
  readonly velocity: number;
  /** Older creates that customers see are not sent without force. */
  readonly maxAgeMs: number;
}

/** What a notification target wants to hear of. */
export type NotifyTopic = 'dead_letter' | 'breaker_open' | 'errors' | 'credentials';

/** A webhook that is told. */
export interface NotifyTarget {
  /** Where it stands: `notify[0]`. For log and metrics, which must not show the URL. */
  readonly name: string;
  /** A secret: whoever knows it can write there. */
  readonly url: string;
  /** Proxy URL for HTTP CONNECT; null for none. */
  readonly proxy: string | null;
  readonly on: ReadonlySet<NotifyTopic>;
  /** How long a breaker must be open, or errors last, before it is told. */
  readonly afterMs: number;
  /** One message per group in this time. */
  readonly intervalMs: number;
  /** Share of failed calls that counts as errors, 0..1. */
  readonly errorRatio: number;
}

/** A request line that was matched to a rule. */
export interface EndpointMatch {
  readonly policy: EndpointPolicy;
  /** Values of the template's `{names}`, undecoded. */
  readonly params: Readonly<Record<string, string>>;
}

/** The configuration in force. */
export interface Settings {
  readonly listen: ListenAddress;
  readonly mode: 'enforce' | 'observe';
  readonly admin: { readonly listen: ListenAddress; readonly token: string | null };
  readonly clients: ClientAccess;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly upstream: UpstreamSettings;
  /** The folder of the ledger, absolute. */
  readonly data: string;
  /** The file of its key, absolute; null for `holdfast.key` in the folder, made at the first start. */
  readonly dataKeyFile: string | null;
  readonly limits: Limits;
  readonly deadLetters: DeadLetterSettings;
  readonly redrive: RedriveSettings;
  readonly notify: readonly NotifyTarget[];
  readonly log: { readonly level: string; readonly redact: readonly string[] };
  /** Keys of `Holdfast-Context` that are counted by value. */
  readonly contextLabels: readonly string[];
  /** SHA-256 over the effective configuration, the first 12 hex digits. */
  readonly hash: string;
  /** The file that was read, or `defaults`. */
  readonly source: string;
  /** Every rule, in the order of the map, for status, metrics and `explain`. */
  readonly policies: readonly EndpointPolicy[];
  /** The rule for a request: the path before `?`, no decoding, no folding; never null, `other` when nothing fits. */
  readonly match: (method: string, path: string) => EndpointMatch;
  /** The effective configuration for people, secrets left out. */
  readonly shown: unknown;
}
