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
  readonly limits: Limits;
  readonly log: { readonly level: string; readonly redact: readonly string[] };
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
