/**
 * The two parts of undici that are used, imported from where they stand: its index loads fetch, web sockets and caches,
 * which cost 70 ms of processor time at the start and 14 MiB. The version is pinned exactly, so the paths are too.
 */

declare module 'undici/lib/dispatcher/client.js' {
  import { Client } from 'undici';
  export default Client;
}

declare module 'undici/lib/core/connect.js' {
  import { buildConnector } from 'undici';
  export default buildConnector;
}
