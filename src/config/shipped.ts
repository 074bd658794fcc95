import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Filled } from './overlay.ts';
import type { ConfigFile, PolicySections } from './schema.ts';
import type { EndpointRow, ErrorEntry, RecipeEntry } from './schema-rows.ts';

/** An entry of a list, with the line of the file that it came from. */
export interface ShippedEntry<T = ErrorEntry> {
  readonly entry: T;
  readonly line: number;
}

/** A row of the shipped map; its lists of entries stand beside it, with their lines. */
export interface ShippedRow {
  readonly row: Omit<EndpointRow, 'errors' | 'reconcile'>;
  readonly errors: readonly ShippedEntry[];
  readonly reconcile: readonly ShippedEntry<RecipeEntry>[];
  readonly line: number;
}

/** What `config/shipped.json` holds: every default, and the map of `config/intercom.yaml`. */
export interface Shipped {
  readonly defaults: Filled<Pick<ConfigFile, 'limits'>> & { readonly defaults: Filled<PolicySections> } & ConfigFile;
  readonly operations: readonly ShippedRow[];
  readonly generic: readonly ShippedEntry[];
}

let loaded: Promise<Shipped> | null = null;

/**
 * Reads what the package ships. It is JSON, made from the declaration and the map by scripts/generate-config.ts and
 * checked there: parsing 600 lines of YAML at every start took as much processor time as the rest of it, and 30 MB.
 */
export function loadShipped(): Promise<Shipped> {
  loaded ??= readFile(shippedFile('shipped.json'), 'utf8').then((text) => JSON.parse(text) as Shipped);
  return loaded;
}

/** The path of a file of the package's `config/`, which lies beside `src/` and beside `dist/` alike. */
export function shippedFile(name: string): string {
  return fileURLToPath(new URL(`../../config/${name}`, import.meta.url));
}
