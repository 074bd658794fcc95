import { afterEach } from 'vitest';
import { openRig, type Rig } from './redrive-rig.ts';

const rigs: Rig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

/** Starts simulator and proxy; both end with the test. */
export async function startRig(...given: Parameters<typeof openRig>): Promise<Rig> {
  const rig = await openRig(...given);
  rigs.push(rig);
  return rig;
}
