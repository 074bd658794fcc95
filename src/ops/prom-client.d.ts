/**
 * The parts of prom-client that are used, imported from where they stand: its index loads default metrics, cluster,
 * push gateway and OpenTelemetry's API, which cost 50 ms of processor time at the start. The version is pinned exactly.
 */

declare module 'prom-client/lib/registry.js' {
  import { Registry } from 'prom-client';
  export default Registry;
}

declare module 'prom-client/lib/counter.js' {
  import { Counter } from 'prom-client';
  export default Counter;
}

declare module 'prom-client/lib/gauge.js' {
  import { Gauge } from 'prom-client';
  export default Gauge;
}

declare module 'prom-client/lib/histogram.js' {
  import { Histogram } from 'prom-client';
  export default Histogram;
}
