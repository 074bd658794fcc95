import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import undiciConnector from 'undici/lib/core/connect.js';
import { request as httpRequest } from '../ops/node-http.ts';

type Target = buildConnector.Options;
type Done = buildConnector.Callback;

/** Opens one connection for undici; what it returns gives the attempt up at any time before `done`. */
export type Connect = (target: Target, done: Done) => () => void;

/** How to reach the upstream. */
export interface ConnectSettings {
  /** Of a proxy that takes HTTP CONNECT; null for a direct connection. */
  readonly proxy: string | null;
  /** PEM; trusted beside the authorities that Node trusts. Null for those alone. */
  readonly caFile: string | null;
}

/** The upstream's settings cannot be used; the message is one line for a person. */
export class UpstreamSettingsError extends Error {
  override readonly name = 'UpstreamSettingsError';
  readonly code = 'ERR_UPSTREAM_SETTINGS';
}

/** Makes the connector. Reads `caFile` at once, so that a wrong file stops the start and not the first call. */
export function createConnect(settings: ConnectSettings): Connect {
  const secureContext = settings.caFile === null ? undefined : trusting(settings.caFile);
  // No time limit in here: the attempt layer has its own, per endpoint, and gives up by `abandon`.
  const open = undiciConnector({ allowH2: false, timeout: 0, ...(secureContext && { secureContext }) });
  const direct: Connect = (target, done) => {
    const socket = open(target, done) as unknown as Socket;
    return () => socket.destroy();
  };
  return settings.proxy === null ? direct : tunnel(new URL(settings.proxy), secureContext, direct);
}

function trusting(caFile: string): SecureContext {
  try {
    const pem = readFileSync(caFile, 'utf8');
    // Only X509Certificate objects to something that is no certificate; a secure context would skip it in silence.
    void new X509Certificate(pem);
    return createSecureContext({ ca: [...getCACertificates('default'), pem] });
  } catch (error) {
    throw new UpstreamSettingsError(
      `upstream.ca_file ${caFile}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/**
 * HTTP CONNECT through node:http and not through undici's ProxyAgent: that one turns the request's fields into an object,
 * which loses duplicates and their order. Errors get a code of ours, since undici reconnects in a spin on its own codes.
 */
function tunnel(proxy: URL, secureContext: SecureContext | undefined, direct: Connect): Connect {
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const authorization = credentials === ':' ? null : `Basic ${Buffer.from(credentials).toString('base64')}`;
  const send = proxy.protocol === 'https:' ? httpsRequest : httpRequest;
  return (target, done) => {
    const host = target.hostname.includes(':') ? `[${target.hostname}]` : target.hostname;
    const authority = `${host}:${target.port || (target.protocol === 'https:' ? 443 : 80)}`;
    let settled = false;
    const settle: Done = (...result) => {
      const late = settled;
      settled = true;
      if (late) result[1]?.destroy();
      else done(...result);
    };
    const fail = (why: string): void =>
      settle(Object.assign(new Error(`proxy ${proxy.host}: ${why}`), { code: 'EPROXY' }), null);
    let abandonTls: (() => void) | null = null;
    const request = send({
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: authority,
      headers: { Host: authority, ...(authorization && { 'Proxy-Authorization': authorization }) },
      agent: false,
      ...(secureContext && { secureContext }),
    });
    request.once('connect', (response, socket: Socket, head: Buffer) => {
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 299) {
        socket.destroy();
        return fail(`refused CONNECT ${authority} with ${status}`);
      }
      if (head.length > 0) socket.unshift(head);
      socket.setNoDelay(true);
      if (target.protocol !== 'https:') return settle(null, socket);
      abandonTls = direct({ ...target, httpSocket: socket }, settle);
    });
    request.on('error', (error) => fail(error.message));
    request.end();
    return () => {
      settled = true;
      request.destroy();
      abandonTls?.();
    };
  };
}
