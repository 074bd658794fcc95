/** An entry for the error map that names this error, ready to paste. `code` is cut already. */
export function unmappedEntry(endpoint: string, status: number, code: string | null): string {
  // JSON is YAML: quoted, the upstream's words stay one value.
  const when = code === null ? `{ status: ${status} }` : `{ status: ${status}, code: ${JSON.stringify(code)} }`;
  return `- match: ${endpoint}\n  errors:\n    - when: ${when}\n      verdict: permanent   # or transient`;
}
