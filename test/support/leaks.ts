/** What must be nowhere: a credential in clear. Every test file ends with a look at all that its traffic left behind. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A credential as it goes over the wire; the two challenges of Holdfast's own 401 are none. */
const CREDENTIAL = /(?:Bearer|Basic) (?!realm=)[\w.~+/=-]+/i;

const leaks: string[] = [];

/** Looks at what was written somewhere: a log line, the output of a command. */
export function lookAt(where: string, text: string): void {
  const found = CREDENTIAL.exec(text);
  if (found !== null) leaks.push(`${where}: ${text.slice(Math.max(0, found.index - 80), found.index + 80)}`);
}

/** Looks at every ledger in a folder, its log included. */
export function lookInto(folder: string): void {
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile() || !file.name.startsWith('holdfast.db')) continue;
    const at = path.join(file.parentPath, file.name);
    lookAt(at, readFileSync(at, 'latin1'));
  }
}

/** What was found since the last call. */
export function takeLeaks(): string[] {
  return leaks.splice(0);
}
