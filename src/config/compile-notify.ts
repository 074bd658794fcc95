import type { NotifyTarget } from '../core/settings.ts';
import { ms } from './compile-policy.ts';
import { type Fault, fault, type Path } from './faults.ts';
import type { ConfigFile } from './schema.ts';
import type { Environment } from './source.ts';
import { proxyFromEnvironment } from './upstream-proxy.ts';
import type { Places } from './validate.ts';

/** What targets are compiled from. */
export interface NotifyParts {
  readonly config: ConfigFile;
  readonly places: Places;
  readonly env: Environment;
  /** What the files of `url_file` hold, by index. */
  readonly notifyUrls: readonly (string | null)[];
}

type Entry = NonNullable<ConfigFile['notify']>[number];

const URL_ALLOWED = 'an http or https URL, such as https://hooks.slack.com/services/…';

/**
 * Compiles `notify`. What is wrong goes to `faults`, never with the URL: it is a secret. Entries of a list have no
 * defaults of the effective configuration under them, so they stand here once more; a test holds them equal to the
 * declaration.
 */
export function compileNotify(parts: NotifyParts, faults: Fault[]): NotifyTarget[] {
  return (parts.config.notify ?? []).flatMap((entry, index) => {
    const report = (path: Path, message: string, allowed: string): void => {
      const at = ['notify', index, ...path];
      faults.push(fault(parts.places.placeOf(at), at, message, { got: null, allowed }));
    };
    const url = urlOf(entry, parts.notifyUrls[index] ?? null, report);
    if (url === null) return [];
    return {
      name: `notify[${index}]`,
      url: url.href,
      proxy: proxyFromEnvironment(url.origin, parts.env)?.url ?? null,
      on: new Set(entry.on ?? ['dead_letter', 'breaker_open', 'errors', 'credentials']),
      afterMs: ms(entry.after ?? '60s'),
      intervalMs: ms(entry.interval ?? '5m'),
      errorRatio: entry.error_ratio ?? 0.25,
    };
  });
}

function urlOf(
  { url, url_file: file }: Entry,
  read: string | null,
  report: (path: Path, message: string, allowed: string) => void,
): URL | null {
  if (url && file) report(['url_file'], 'names a webhook that `url` names already', 'one of the two');
  else if (!url && !file) report([], 'names no webhook', 'url, or url_file');
  const text = url ?? read;
  if (!text) return null;
  const parsed = URL.canParse(text) ? new URL(text) : null;
  if (parsed !== null && (parsed.protocol === 'https:' || parsed.protocol === 'http:')) return parsed;
  report([url ? 'url' : 'url_file'], url ? 'is no URL of a webhook' : 'names a file that holds no URL', URL_ALLOWED);
  return null;
}
