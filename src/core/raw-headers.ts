/**
 * Header fields exactly as they travel: one flat list, name, value, name, value, in order, in the case of the sender,
 * duplicates kept. The obvious other choice, an object keyed by name, merges duplicates and loses order, and a proxy
 * that promises byte-faithful fields cannot give them back (semantics §10). Look-ups are linear: messages carry
 * 10 to 30 fields, and a scan of those is cheaper than building a map that is read twice.
 */

/** Flat `[name, value, name, value, …]`; always of even length. */
export type RawHeaders = readonly string[];

/** Finds the first value of a field; `name` must be lower-case. Null when absent. */
export function headerOf(headers: RawHeaders, name: string): string | null {
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i] as string;
    if (candidate.length === name.length && candidate.toLowerCase() === name) return headers[i + 1] as string;
  }
  return null;
}

/** Joins all values of a list-valued field with `, ` (RFC 9110 §5.3); `name` must be lower-case. Null when absent. */
export function headerListOf(headers: RawHeaders, name: string): string | null {
  let joined: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i] as string;
    if (candidate.length === name.length && candidate.toLowerCase() === name) {
      joined = joined === null ? (headers[i + 1] as string) : `${joined}, ${headers[i + 1] as string}`;
    }
  }
  return joined;
}

/** Copies the fields without those of the given names (lower-case). */
export function withoutHeaders(headers: RawHeaders, names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!names.has((headers[i] as string).toLowerCase())) kept.push(headers[i] as string, headers[i + 1] as string);
  }
  return kept;
}
