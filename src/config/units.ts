/** Durations, sizes and addresses as people write them in the configuration. */

import type { ListenAddress } from '../core/settings.ts';

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A duration: `250ms`, `1.5s`, `5m`, `24h`, `30d`. */
export const DURATION_PATTERN = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/;
/** A size: `512B`, `64KiB`, `10MiB`, `1GiB`. */
export const SIZE_PATTERN = /^(\d{1,12}(?:\.\d{1,6})?)(B|KiB|MiB|GiB)$/;
/** `host:port`; an IPv6 host stands in brackets. */
export const ADDRESS_PATTERN = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

/** Reads a duration, in ms; null when it is none. */
export function parseDuration(text: string): number | null {
  return parseUnit(DURATION_PATTERN, DURATION_UNITS_MS, text);
}

/** Reads a size, in whole bytes; null when it is none. */
export function parseSize(text: string): number | null {
  const bytes = parseUnit(SIZE_PATTERN, SIZE_UNITS_BYTES, text);
  return bytes === null ? null : Math.round(bytes);
}

/** Reads `host:port`; null when it is none, or the port is beyond 65535. */
export function parseAddress(text: string): ListenAddress | null {
  const parts = ADDRESS_PATTERN.exec(text);
  if (parts === null) return null;
  const port = Number(parts[3]);
  return port > 65_535 ? null : { host: (parts[1] ?? parts[2]) as string, port };
}

/** Whether only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(host);
}

function parseUnit(pattern: RegExp, units: Readonly<Record<string, number>>, text: string): number | null {
  const parts = pattern.exec(text);
  return parts === null ? null : Number(parts[1]) * (units[parts[2] as string] as number);
}
