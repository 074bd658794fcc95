import { formatFault } from '../../src/config/faults.ts';
import { type Flags, type LoadResult, loadSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/core/settings.ts';

/** What surrounds a configuration text in a test. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: Flags;
  /** Further files, by absolute path; the configuration is `/etc/holdfast.yaml`. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Loads a text as `/etc/holdfast.yaml`; null loads the defaults. */
export function load(
  yaml: string | null,
  { env = {}, flags = {}, files = {} }: Surroundings = {},
): Promise<LoadResult> {
  const all: Readonly<Record<string, string>> = yaml === null ? files : { ...files, '/etc/holdfast.yaml': yaml };
  return loadSettings({
    file: yaml === null ? null : '/etc/holdfast.yaml',
    env,
    flags,
    readFile: (file) => {
      const text = all[file];
      if (text === undefined) throw Object.assign(new Error(`ENOENT: ${file}`), { code: 'ENOENT' });
      return text;
    },
  });
}

/** The settings of a text that must be good. */
export async function settingsOf(yaml: string | null, around?: Surroundings): Promise<Settings> {
  const result = await load(yaml, around);
  if (!result.ok) throw new Error(result.faults.map(formatFault).join('\n'));
  return result.settings;
}

/** All faults and warnings as lines, without the file's name. */
export async function linesOf(yaml: string | null, around?: Surroundings): Promise<string[]> {
  const { faults } = await load(yaml, around);
  return faults.map((each) => formatFault(each).replace(/^\/etc\/holdfast\.yaml:/, ''));
}
