import { readFile } from 'node:fs/promises';
import type { UpstreamCredentials } from '../core/settings.ts';
import { UpstreamSettingsError } from './connect.ts';

/** Whose credential goes to the upstream, as the layers see it. */
export interface Credentials {
  /** The value of `Authorization` to send; null when the caller's own passes through. */
  current(): string | null;
  /** Reads the source again after a 401: whether that gave another credential; null when callers bring theirs. Never rejects. */
  reread(): Promise<boolean | null>;
}

/**
 * Opens the source of the upstream's credential and reads it once. A source that later turns unreadable or empty leaves
 * the last good credential in force.
 *
 * @throws UpstreamSettingsError when it is unreadable, empty or not fit for a header field.
 */
export async function openCredentials(
  settings: UpstreamCredentials,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Credentials> {
  if (settings.kind === 'passthrough') return { current: () => null, reread: async () => null };
  const read = async (): Promise<string> =>
    settings.kind === 'bearer_file'
      ? bearer(await readFile(settings.file, 'utf8').catch(unreadable(settings.file)), settings.file)
      : bearer(env[settings.name] ?? '', `environment variable ${settings.name}`);
  let value = await read();
  return {
    current: () => value,
    async reread() {
      const before = value;
      value = await read().catch(() => before);
      return value !== before;
    },
  };
}

const unreadable = (file: string) => (error: unknown) => {
  const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  throw new UpstreamSettingsError(`upstream.credentials: ${file} cannot be read (${why})`);
};

function bearer(text: string, source: string): string {
  const token = text.trim().replace(/^bearer\s+/i, '');
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamSettingsError(`upstream.credentials: ${source} holds no token of printable characters`);
  }
  return `Bearer ${token}`;
}
