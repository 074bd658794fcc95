import type { UpstreamSettings } from '../core/settings.ts';
import type { Wire } from '../core/wire.ts';
import { Call } from './call.ts';
import { createConnect } from './connect.ts';
import { Connection } from './connection.ts';
import { Places } from './places.ts';

/** Connections of this moment, for the status page. */
export interface UpstreamStats {
  /** Calls on the wire. */
  readonly running: number;
  /** Calls in line for a connection. */
  readonly waiting: number;
  /** Connections whose last call ended cleanly; their sockets may be closed by now. */
  readonly idle: number;
}

/** What speaks to the upstream, until it is closed. */
export interface Upstream extends Wire {
  /** Drops idle sockets now and the others as their calls end; resolves when all are gone. New calls may still come. */
  close(): Promise<void>;
  /** Ends the running calls as failures and closes every socket; resolves when all are gone. New calls fail unsent. */
  destroy(): Promise<void>;
  stats(): UpstreamStats;
}

/**
 * Opens the way to the upstream; no connection is made before the first call.
 *
 * @throws UpstreamSettingsError when `caFile` cannot be used.
 */
export function createUpstream(
  settings: Pick<UpstreamSettings, 'origin' | 'connections' | 'proxy' | 'caFile'>,
): Upstream {
  const connect = createConnect(settings);
  const places = new Places(settings.connections);
  // The one used last goes out first, so that those beyond the need fall idle and close.
  const idle: Connection[] = [];
  /** Only a count of those at work: a set that changes with every call keeps dead ones alive for the collector. */
  const all = new Set<Connection>();
  let running = 0;
  let whenDrained: (() => void) | null = null;
  let destroyed = false;

  const forget = (connection: Connection): Promise<void> => {
    all.delete(connection);
    return connection.destroy();
  };
  const leave = (connection: Connection, clean: boolean): void => {
    running -= 1;
    if (clean && !destroyed && whenDrained === null) idle.push(connection);
    else void forget(connection);
    if (running === 0) whenDrained?.();
  };

  const open = (): Connection => {
    const connection = new Connection(settings.origin, connect);
    all.add(connection);
    return connection;
  };

  return {
    connection: (cancel) => places.take(cancel),
    dispatch(request, handler) {
      const connection = idle.pop() ?? open();
      if (destroyed) void connection.destroy();
      running += 1;
      const call = new Call(handler, connection, leave);
      call.send(request);
      return call;
    },
    async close() {
      const drained = new Promise<void>((resolve) => {
        whenDrained = resolve;
        if (running === 0) resolve();
      });
      await Promise.all(idle.splice(0).map(forget));
      await drained;
    },
    async destroy() {
      destroyed = true;
      idle.length = 0;
      await Promise.all([...all].map(forget));
    },
    stats: () => ({ running, waiting: places.waiting, idle: idle.length }),
  };
}
