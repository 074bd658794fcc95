import type {
  DeadCount,
  DeadFilter,
  DeadGroup,
  DeadHead,
  DeadLetterStore,
  DeadLimits,
  DeadPage,
  Evictable,
  Success,
  Superseded,
} from '../core/dead-letters.ts';
import type { Operation } from '../core/operation.ts';
import { groupsOfParts, SumsOfGroups } from './dead-groups.ts';
import type { DeadGroupPart, GroupSums, Slice } from './protocol.ts';
import { pack, packDead } from './requests.ts';
import type { StoreThread } from './thread.ts';

/** A list decrypts so many slices for one page: then it gives what it has, and the cursor goes on. */
const MATCH_SLICES_MAX = 240;
/** Groups whose samples one slice finds. */
const SAMPLED_MAX = 100;

/**
 * The dead letters' part of the port. Long work is many requests, each a slice of two or three ms, between which the thread
 * commits what live calls have to write.
 */
export class SqliteDeadLetters implements DeadLetterStore {
  readonly #thread: StoreThread;

  constructor(thread: StoreThread) {
    this.#thread = thread;
  }

  keepDead(operation: Operation): Promise<string> {
    return this.#thread.ask(packDead(operation)) as Promise<string>;
  }

  supersede(success: Success): Promise<Superseded> {
    return this.#thread.ask(pack(['supersede', success])) as Promise<Superseded>;
  }

  async listDead(filter: DeadFilter, cursor: number | null, limit: number): Promise<DeadPage> {
    const letters: DeadHead[] = [];
    let next = cursor;
    for (let slices = 1; ; slices++) {
      const request = pack(['listDead', filter, next, limit - letters.length]);
      const slice = (await this.#thread.askSlice(request)) as Slice<DeadHead>;
      letters.push(...slice.found);
      next = slice.next;
      const enough = letters.length === limit || (filter.match !== undefined && slices === MATCH_SLICES_MAX);
      if (next === null || enough) return { letters, next };
    }
  }

  async groupDead(filter: DeadFilter, limit: number): Promise<readonly DeadGroup[]> {
    const groups = groupsOfParts(await this.#partsOf(filter), filter).slice(0, limit);
    const samples = await this.#samplesOf(groups.map(({ causeId }) => causeId));
    return groups.map((group, at) => ({ ...group, samples: samples[at] ?? [] }));
  }

  countDead(): Promise<readonly DeadCount[]> {
    return this.#thread.askSlice(pack(['countDead'])) as Promise<readonly DeadCount[]>;
  }

  async purgeDead(filter: DeadFilter): Promise<number> {
    let removed = 0;
    let next: number | null = null;
    do {
      const slice = (await this.#thread.askSlice(pack(['purgeDead', filter, next]))) as Slice<string>;
      removed += slice.found.length;
      next = slice.next;
    } while (next !== null);
    return removed;
  }

  evictable(limits: DeadLimits, limit: number): Promise<readonly Evictable[]> {
    return this.#thread.askSlice(pack(['evictable', limits, limit])) as Promise<readonly Evictable[]>;
  }

  evict(ids: readonly string[]): Promise<number> {
    return this.#thread.askSlice(pack(['evict', ids])) as Promise<number>;
  }

  /** From the kept counts when they tell endpoint, cause and state apart, which is all that most filters ask. */
  async #partsOf(filter: DeadFilter): Promise<readonly DeadGroupPart[]> {
    const { endpoint: _e, cause: _c, states: _s, ...rest } = filter;
    const all = async () => (await this.#thread.askSlice(pack(['deadGroups']))) as readonly DeadGroupPart[];
    if (Object.keys(rest).length === 0) return all();
    const sums = new SumsOfGroups();
    let next: number | null = null;
    do {
      const slice = (await this.#thread.askSlice(pack(['deadSums', filter, next]))) as Slice<GroupSums>;
      sums.add(slice.found);
      next = slice.next;
    } while (next !== null);
    return sums.of(await all());
  }

  async #samplesOf(causeIds: readonly string[]): Promise<string[][]> {
    const samples: string[][] = [];
    while (samples.length < causeIds.length) {
      const some = causeIds.slice(samples.length, samples.length + SAMPLED_MAX);
      samples.push(...((await this.#thread.askSlice(pack(['deadSamples', some]))) as string[][]));
    }
    return samples;
  }
}
