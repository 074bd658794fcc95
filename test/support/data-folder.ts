import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lookInto } from './leaks.ts';

const folders: string[] = [];

/** A new folder for the ledger of one instance; it goes with the test file, or with a process that runs no tests. */
export function dataFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-data-'));
  folders.push(folder);
  return folder;
}

/** Looks for credentials in what the instances of this process left on the disk. */
export function lookIntoDataFolders(): void {
  for (const folder of folders) lookInto(folder);
}

/** Removes the folders of this process. */
export function removeDataFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

process.on('exit', removeDataFolders);
