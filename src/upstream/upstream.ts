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
  const running = new Set<Connection>();
  let whenDrained: (() => void) | null = null;
  let destroyed = false;

  const leave = (connection: Connection, clean: boolean): void => {
    running.delete(connection);
    if (clean && !destroyed && whenDrained === null) idle.push(connection);
    else void connection.destroy();
    if (running.size === 0) whenDrained?.();
  };

  return {
    connection: (signal) => places.take(signal),
    dispatch(request, handler) {
      const connection = idle.pop() ?? new Connection(settings.origin, connect);
      if (destroyed) void connection.destroy();
      running.add(connection);
      const call = new Call(handler, connection, leave);
      call.send(request);
      return call;
    },
    async close() {
      const drained = new Promise<void>((resolve) => {
        whenDrained = resolve;
        if (running.size === 0) resolve();
      });
      await Promise.all(idle.splice(0).map((connection) => connection.destroy()));
      await drained;
    },
    async destroy() {
      destroyed = true;
      await Promise.all([...idle.splice(0), ...running].map((connection) => connection.destroy()));
    },
    stats: () => ({ running: running.size, waiting: places.waiting, idle: idle.length }),
  };
}
