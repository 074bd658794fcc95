import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const folders: string[] = [];

process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new folder for the ledger of one instance; it goes with the process. */
export function dataFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-data-'));
  folders.push(folder);
  return folder;
}
