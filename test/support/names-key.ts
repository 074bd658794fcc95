import { createSecretKey } from 'node:crypto';

/** The key under which instances of tests name credentials and operations. */
export const NAMES_KEY = createSecretKey(Buffer.alloc(32, 7));
