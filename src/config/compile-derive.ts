/** Checks the expressions of `idempotency.derive`, wherever the file has them. */

import { checkCondition } from './conditions.ts';
import type { Path } from './faults.ts';
import type { ConfigFile } from './schema.ts';

type Section = { readonly derive?: readonly string[] | null | undefined } | null | undefined;
type Report = (path: Path, message: string) => void;

/** Of one section; `path` leads to it. */
export async function checkDerive(section: Section, path: Path, report: Report): Promise<void> {
  for (const [i, source] of (section?.derive ?? []).entries()) {
    const wrong = await checkCondition(source);
    if (wrong !== null) report([...path, 'derive', i], wrong);
  }
}

/** Of the defaults and of the profiles of the file; a row checks its own. */
export async function checkSharedDerive({ defaults, profiles }: ConfigFile, report: Report): Promise<void> {
  await checkDerive(defaults?.idempotency, ['defaults', 'idempotency'], report);
  for (const [name, profile] of Object.entries(profiles ?? {})) {
    await checkDerive(profile?.idempotency, ['profiles', name, 'idempotency'], report);
  }
}
