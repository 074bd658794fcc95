import { afterAll } from 'vitest';
import { removeDataFolders } from './data-folder.ts';

// The runner ends its processes by a signal, and those that a signal ends have no 'exit'. Behind the hooks of the file itself.
afterAll(removeDataFolders);
