import { afterAll, expect } from 'vitest';
import { lookIntoDataFolders, removeDataFolders } from './data-folder.ts';
import { takeLeaks } from './leaks.ts';

// Behind the hooks of the file itself. The runner ends its processes by a signal, and those that a signal ends have no 'exit'.
afterAll(() => {
  lookIntoDataFolders();
  removeDataFolders();
  expect(takeLeaks(), 'credentials in clear').toEqual([]);
});
