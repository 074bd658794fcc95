import { defineConfig } from 'vitest/config';

/** `npm run test:deploy`: what needs tools beyond npm. The setup gets them, or says which it could not get. */
export default defineConfig({
  test: {
    include: ['test/deploy/**/*.deploy.ts'],
    globalSetup: ['test/deploy/setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', './test/support/closing-line.ts'],
  },
});
