import type { Environment } from './source.ts';

/**
 * The proxy that the environment names for an origin, as curl reads it: `https_proxy` before `HTTPS_PROXY`, for https
 * only, and none for the hosts of `NO_PROXY` (names, their subdomains, `host:port`, or `*`). Null for none.
 */
export function proxyFromEnvironment(origin: string, env: Environment): { url: string; variable: string } | null {
  const target = new URL(origin);
  if (target.protocol !== 'https:') return null;
  const variable = ['https_proxy', 'HTTPS_PROXY'].find((name) => env[name]);
  const url = variable === undefined ? undefined : env[variable];
  if (variable === undefined || url === undefined) return null;
  return isExempt(target, env['no_proxy'] || env['NO_PROXY'] || '') ? null : { url, variable };
}

function isExempt(target: URL, list: string): boolean {
  const host = target.hostname.toLowerCase();
  const port = target.port || '443';
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true;
    const [, name = '', entryPort] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    if (entryPort !== undefined && entryPort !== port) return false;
    const plain = name.replace(/^\*?\./, '');
    return plain !== '' && (host === plain || host.endsWith(`.${plain}`));
  });
}
