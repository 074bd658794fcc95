import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';

/** Makes the directory, for its user alone, and what leads to it; durable, so that a power loss does not take it back. */
export function makeDirectory(directory: string): void {
  const first = mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const above = path.dirname(path.resolve(first));
  for (let at = path.dirname(path.resolve(directory)); ; at = path.dirname(at)) {
    syncDirectory(at);
    if (at === above) return;
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
