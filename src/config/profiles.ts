import type { PolicySections } from './schema.ts';

/** The profiles that need no declaration; a profile of the same name in the file is laid over them. */
export const SHIPPED_PROFILES: Readonly<Record<string, PolicySections>> = {
  standard: {},
  crm: { retry: { base_delay: '2s' } },
  sequencer: { retry: { base_delay: '500ms' } },
  realtime: { retry: { base_delay: '200ms', max_retries: 2 } },
};
