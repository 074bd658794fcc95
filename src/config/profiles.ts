import type { PolicySections } from './schema.ts';

/** The profiles that need no declaration; a profile of the same name in the file is laid over them. */
export const SHIPPED_PROFILES: Readonly<Record<string, PolicySections>> = {
  standard: {},
  crm: { retry: { base_delay: '2s' } },
  sequencer: { retry: { base_delay: '500ms' } },
  realtime: { retry: { base_delay: '200ms', max_retries: 2 } },
  // For pipelines without a timeout of their own: an outage of minutes costs them time and nothing else.
  patient: {
    timeout: { total: '10m' },
    retry: { max_retries: 'unlimited', max_delay: '5s' },
    breaker: { when_open: 'wait', open_for: '750ms', half_open_probes: 1 },
    pacing: { max_wait: '10m' },
  },
};
