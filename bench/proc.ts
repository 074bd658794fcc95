/** What the operating system says about a process, from /proc: nothing is asked of the process itself. */

import { readdirSync, readFileSync } from 'node:fs';

/** Processor time of all threads since the start, in ms; to the nanosecond of the scheduler where it tells it. */
export function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return nanoseconds / 1e6;
}

/** Resident memory, in MB of 10^6 bytes. */
export function rssMb(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return (Number(kibibytes) * 1024) / 1e6;
}
