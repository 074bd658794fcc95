import { storeContract } from '../store/contract.ts';
import { deadLetterContract } from '../store/dead-contract.ts';
import { queueContract } from '../store/queue-contract.ts';
import { MemoryStore } from './memory-store.ts';

storeContract('MemoryStore', async () => new MemoryStore());
deadLetterContract('MemoryStore', () => new MemoryStore());
queueContract(async () => new MemoryStore());
