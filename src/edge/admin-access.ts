/**
 * Who may use the admin plane (contract, "Admin plane"). Three doors, each for another attacker: a token for people on
 * the network, the `Host` rule for a page that rebinds its DNS name to 127.0.0.1 when no token protects a loopback
 * listener, and the `Origin` rule for a page that makes the operator's own browser send a changing call.
 */

import { createHash, timingSafeEqual } from 'node:crypto';

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** The fields of a request that decide; null when absent. */
export interface AccessRequest {
  readonly method: string;
  readonly host: string | null;
  readonly origin: string | null;
  readonly fetchSite: string | null;
  readonly authorization: string | null;
}

/** Null when the request may pass; otherwise why not, for the client, and the status. */
export type Denied = { readonly status: 401 | 403; readonly message: string } | null;

/** Decides on one request to a path that is not open to everyone; `token` null means that none is set. */
export function adminAccess(request: AccessRequest, token: string | null): Denied {
  const crossSite = deniedAsCrossSite(request);
  if (crossSite !== null) return crossSite;
  if (token === null) {
    if (request.host !== null && isLoopbackHost(request.host)) return null;
    return {
      status: 403,
      message:
        'Without an admin token this plane answers to Host localhost, 127.0.0.1 and [::1] only: use one of them.',
    };
  }
  const given = /^Bearer +(\S+) *$/i.exec(request.authorization ?? '')?.[1];
  if (given !== undefined && sameSecret(given, token)) return null;
  return { status: 401, message: 'Send Authorization: Bearer <admin token> (admin.token_file, HOLDFAST_ADMIN_TOKEN).' };
}

function deniedAsCrossSite(request: AccessRequest): Denied {
  const foreignOrigin = request.origin !== null && !isOriginOf(request.origin, request.host);
  const foreignSite = request.fetchSite !== null && request.fetchSite !== 'same-origin' && request.fetchSite !== 'none';
  if (!foreignOrigin && !(foreignSite && !SAFE_METHODS.has(request.method))) return null;
  return { status: 403, message: 'Cross-site requests are refused: call the admin plane from its own origin.' };
}

function isOriginOf(origin: string, host: string | null): boolean {
  return host !== null && (origin === `http://${host}` || origin === `https://${host}`);
}

function isLoopbackHost(host: string): boolean {
  return LOOPBACK_NAMES.has(host.toLowerCase().replace(/:\d{1,5}$/, ''));
}

/** Compares two secrets without telling by its time how much of them agrees. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
